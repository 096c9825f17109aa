"""The one parser of specs: "crop(64) | d4 | stain(0.1)" and "soft_bce + 0.1 * supcon(0.1)". Data, never code."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mitotype.core.errors import UserError

MAX_CHARS = 500
MAX_DEPTH = 3  # a name, its arguments, a list of numbers as one argument
MAX_STEPS = 40
Value = float | int | str | tuple[float, ...]
FORM = "names with numbers, as in crop(64) | affine(degrees=180, scale=0.1)"


@dataclass(frozen=True)
class Step:
    """One name of a spec with its arguments; `weight` is its factor in a sum (1.0 in a pipeline)."""

    name: str
    args: tuple[Value, ...] = ()
    options: tuple[tuple[str, Value], ...] = ()
    weight: float = 1.0

    def __str__(self) -> str:
        inside = [_format(a) for a in self.args] + [f"{k}={_format(v)}" for k, v in self.options]
        text = f"{self.name}({', '.join(inside)})" if inside else self.name
        return text if self.weight == 1.0 else f"{self.weight:g} * {text}"


def pipeline(text: str) -> tuple[Step, ...]:
    """Return the steps of "a(1) | b | c(2, x=3)" in order. The empty spec has none."""
    return tuple(_step(node) for node in _operands(_parse(text), ast.BitOr, text)) if text.strip() else ()


def weighted_sum(text: str) -> tuple[Step, ...]:
    """Return the terms of "a + 0.1 * b(2)" in order, each with its weight."""
    return tuple(_term(node) for node in _operands(_parse(text), ast.Add, text))


def canonical(steps: Sequence[object], separator: str = " | ") -> str:
    """Return the canonical spelling, which is the same for the same steps, so that it can be hashed and compared."""
    return separator.join(str(step) for step in steps)


def is_finite(value: float) -> bool:
    """Return whether a number is finite, and no integer beyond the range of a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_CHARS:
        raise UserError(
            f"The spec '{text[:40]}…' has {len(text)} characters; at most {MAX_CHARS} are read.", allowed=FORM
        )
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"'{text[:80]}' is not a spec.", allowed=FORM) from error


def _operands(node: ast.expr, operator: type[ast.operator], text: str) -> list[ast.expr]:
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        parts.append(node.right)
        node = node.left
        if len(parts) > MAX_STEPS:
            raise UserError(f"'{text[:60]}…' has more than {MAX_STEPS} steps.", allowed=FORM)
    return [node, *reversed(parts)]


def _term(node: ast.expr) -> Step:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        weight = _value(node.left, 1)
        if isinstance(weight, str | tuple):
            raise UserError(f"'{ast.unparse(node)}' needs a number before the *.", allowed="0.1 * supcon(0.1)")
        inner = _step(node.right)
        return Step(inner.name, inner.args, inner.options, float(weight))
    return _step(node)


def _step(node: ast.expr) -> Step:
    if isinstance(node, ast.Name):
        return Step(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if any(keyword.arg is None for keyword in node.keywords):
            raise UserError(f"'{ast.unparse(node)[:80]}' is not a step.", allowed=FORM)
        options = tuple((str(keyword.arg), _value(keyword.value, 1)) for keyword in node.keywords)
        return Step(node.func.id, tuple(_value(argument, 1) for argument in node.args), options)
    raise UserError(f"'{ast.unparse(node)[:80]}' is not a step.", allowed=FORM)


def _value(node: ast.expr, depth: int) -> Value:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, depth)
        if not isinstance(value, str | tuple):
            return -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        if not is_finite(node.value):
            raise UserError(f"'{ast.unparse(node)[:80]}' is not a finite number.", allowed=FORM)
        return node.value
    if isinstance(node, ast.Tuple | ast.List) and depth < MAX_DEPTH - 1:
        inner = tuple(_value(item, depth + 1) for item in node.elts)
        if all(isinstance(item, int | float) for item in inner):
            return tuple(float(item) for item in inner if isinstance(item, int | float))
    raise UserError(f"'{ast.unparse(node)[:80]}' is not a number.", allowed=FORM)


def _format(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{v:g}' for v in value)}{',' if len(value) == 1 else ''})"
    return value if isinstance(value, str) else f"{value:.12g}"
