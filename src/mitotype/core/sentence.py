"""The one parser of sentences: "crop(64) | d4 | stain(0.1)" and "soft_bce + 0.1 * supcon(0.1)". Data, never code."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mitotype.core.mistakes import Mistake

MAX_SIGNS = 500
MAX_DEPTH = 3  # a name, its arguments, a list of numbers as one argument
MAX_STEPS = 40
Value = float | int | str | tuple[float, ...]
FORM = "names with numbers, as in crop(64) | affine(degrees=180, scale=0.1)"


@dataclass(frozen=True)
class Step:
    """One word of a sentence with its arguments; `weight` is the factor before it in a sum (1.0 in a pipeline)."""

    name: str
    args: tuple[Value, ...] = ()
    options: tuple[tuple[str, Value], ...] = ()
    weight: float = 1.0

    def __str__(self) -> str:
        inside = [_shown(a) for a in self.args] + [f"{k}={_shown(v)}" for k, v in self.options]
        word = f"{self.name}({', '.join(inside)})" if inside else self.name
        return word if self.weight == 1.0 else f"{self.weight:g} * {word}"


def pipeline(sentence: str) -> tuple[Step, ...]:
    """The steps of "a(1) | b | c(2, x=3)" in order. The empty sentence has none."""
    return tuple(_step(node) for node in _joined(_parsed(sentence), ast.BitOr, sentence)) if sentence.strip() else ()


def weighted_sum(sentence: str) -> tuple[Step, ...]:
    """The terms of "a + 0.1 * b(2)" in order, each with its weight."""
    terms = [_term(node, sentence) for node in _joined(_parsed(sentence), ast.Add, sentence)]
    return tuple(terms)


def written(steps: Sequence[Step], joint: str = " | ") -> str:
    """The canonical spelling: the same steps always read the same, so that it can be hashed and compared."""
    return joint.join(str(step) for step in steps)


def _parsed(sentence: str) -> ast.expr:
    if len(sentence) > MAX_SIGNS:
        raise Mistake(
            f"The sentence '{sentence[:40]}…' has {len(sentence)} signs; at most {MAX_SIGNS} are read.", allowed=FORM
        )
    try:
        return ast.parse(sentence.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Mistake(f"'{sentence[:80]}' is not a sentence.", allowed=FORM) from error


def _joined(node: ast.expr, joint: type[ast.operator], sentence: str) -> list[ast.expr]:
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, joint):
        parts.append(node.right)
        node = node.left
        if len(parts) > MAX_STEPS:
            raise Mistake(f"'{sentence[:60]}…' has more than {MAX_STEPS} steps.", allowed=FORM)
    return [node, *reversed(parts)]


def _term(node: ast.expr, sentence: str) -> Step:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        weight = _value(node.left, 1)
        if isinstance(weight, str | tuple):
            raise Mistake(f"'{ast.unparse(node)}' needs a number before the *.", allowed="0.1 * supcon(0.1)")
        inner = _step(node.right)
        return Step(inner.name, inner.args, inner.options, float(weight))
    return _step(node)


def _step(node: ast.expr) -> Step:
    if isinstance(node, ast.Name):
        return Step(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if any(keyword.arg is None for keyword in node.keywords):
            raise Mistake(f"'{ast.unparse(node)[:80]}' is not a step.", allowed=FORM)
        options = tuple((str(keyword.arg), _value(keyword.value, 1)) for keyword in node.keywords)
        return Step(node.func.id, tuple(_value(argument, 1) for argument in node.args), options)
    raise Mistake(f"'{ast.unparse(node)[:80]}' is not a step.", allowed=FORM)


def _value(node: ast.expr, depth: int) -> Value:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, depth)
        if not isinstance(value, str | tuple):
            return -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        if not math.isfinite(node.value):
            raise Mistake(f"'{ast.unparse(node)}' is not a finite number.", allowed=FORM)
        return node.value
    if isinstance(node, ast.Tuple | ast.List) and depth < MAX_DEPTH - 1:
        inner = tuple(_value(item, depth + 1) for item in node.elts)
        if all(isinstance(item, int | float) for item in inner):
            return tuple(float(item) for item in inner if isinstance(item, int | float))
    raise Mistake(f"'{ast.unparse(node)[:80]}' is not a number.", allowed=FORM)


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{v:g}' for v in value)}{',' if len(value) == 1 else ''})"
    return value if isinstance(value, str) else f"{value:.12g}"
