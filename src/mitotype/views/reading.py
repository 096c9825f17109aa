"""A sentence becomes steps: names, numbers and order are checked, and what is wrong is told together."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from mitotype.core import sentence as sentences
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.sentence import Step, Value
from mitotype.views import views
from mitotype.views.view import Argument, View, Warp

ORDER = ("frame", "warp", "pixel", "crop")
ORDER_SHOWN = "frame steps (macenko, reinhard) | warps | pixel steps | crop"


@dataclass(frozen=True)
class Placed:
    """A view with its arguments, and the probability with which each patch meets it."""

    name: str
    view: View
    p: float = 1.0

    def __str__(self) -> str:
        """The step with every argument written out: one argument bare, several by name."""
        values: list[tuple[str, Value]] = [(a.name, getattr(self.view, a.name)) for a in self.view.arguments()]
        args = (values[0][1],) if len(values) == 1 else ()
        options = [] if len(values) == 1 else values
        if self.p < 1:
            options.append(("p", self.p))
        return str(Step(self.name, args, tuple(options)))


def read(sentence: str, *, random: bool) -> tuple[Placed, ...]:
    """The steps of a frame (`random=False`: nothing in it is drawn) or of an augment.

    Raises one Mistake for all of: a name that no view has, an argument that is unknown, given twice or out of its range,
    a step out of order, more than one crop, a random step in a frame.
    """
    trouble = Collector()
    placed: list[Placed] = []
    for step in sentences.pipeline(sentence):
        with trouble.note():
            placed.append(_placed(step, random))
    if not trouble.found:
        _check_order(placed, trouble)
    trouble.settle()
    full = written(placed)
    if len(full) > sentences.MAX_SIGNS:
        raise Mistake(
            f"The sentence with every argument written out has {len(full)} signs; at most {sentences.MAX_SIGNS} are read.",
            fix="take steps away",
        )
    return tuple(placed)


def written(placed: list[Placed] | tuple[Placed, ...]) -> str:
    """The canonical sentence: whoever spells the same steps gets the same text."""
    return " | ".join(str(step) for step in placed)


def _placed(step: Step, random: bool) -> Placed:
    view = views.get(step.name)
    if not random and view.kind not in ("frame", "crop") and not _settles(view):
        frames = [name for name in views if views.get(name).kind in ("frame", "crop") or _settles(views.get(name))]
        raise Mistake(
            f"'{step.name}' is drawn at random; a frame is the same for every patch.",
            allowed=", ".join(frames),
            fix="write it into the augment sentence",
        )
    arguments = view.arguments()
    if len(step.args) > len(arguments):
        raise Mistake(
            f"'{step}' has {len(step.args)} numbers; {step.name} takes {len(arguments) or 'none'}.",
            allowed=_form(step.name, arguments),
        )
    given: list[tuple[str, Value]] = [(a.name, v) for a, v in zip(arguments, step.args, strict=False)]
    values: dict[str, Any] = {}
    known = {a.name: a for a in arguments}
    if random and view.kind in ("warp", "pixel"):
        known["p"] = Argument("p", 1.0, 0.0, 1.0, "", "probability with which each patch meets the step")
    for name, value in [*given, *step.options]:
        if name in values:
            raise Mistake(f"'{step}' gives {name} twice.", allowed=_form(step.name, arguments))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise Mistake(
                f"{step.name} has no argument '{name}'.",
                nearest=near[0] if near else None,
                allowed=", ".join(known) or "none",
            )
        values[name] = _number(step.name, known[name], value)
    p = values.pop("p", 1.0)
    return Placed(step.name, view(**values), p)


def _settles(view: type[View]) -> bool:
    """Whether the view is a warp with a place in a frame."""
    return issubclass(view, Warp) and view.settled is not Warp.settled


def _number(step: str, a: Argument, value: Value) -> float:
    shown = f"{a.low:g} to {a.high:g} {a.unit}".strip()
    if isinstance(value, str | tuple):
        raise Mistake(f"{a.name} of {step} is a number, not '{value}'.", allowed=shown)
    if not a.low <= value <= a.high:
        raise Mistake(f"{a.name} of {step} is {value:g}.", allowed=shown)
    if a.whole:
        if value != int(value):
            raise Mistake(f"{a.name} of {step} is {value:g}.", allowed=f"whole numbers, {shown}")
        return int(value)
    return float(value)


def _form(name: str, arguments: tuple[Argument, ...]) -> str:
    return f"{name}({', '.join(f'{a.name}={a.default:g}' for a in arguments)})" if arguments else name


def _check_order(placed: list[Placed], trouble: Collector) -> None:
    rank = [ORDER.index(step.view.kind) for step in placed]
    crops = rank.count(ORDER.index("crop"))
    if crops > 1:
        trouble.add(Mistake(f"The sentence has {crops} crops; one is enough.", allowed=ORDER_SHOWN))
    elif rank != sorted(rank):
        first = next(i for i in range(1, len(rank)) if rank[i] < rank[i - 1])
        mended = " | ".join(step.name for step in sorted(placed, key=lambda step: ORDER.index(step.view.kind)))
        trouble.add(
            Mistake(
                f"'{placed[first].name}' cannot come after '{placed[first - 1].name}'.",
                allowed=ORDER_SHOWN,
                fix=f"put them in this order: {mended}",
            )
        )
