"""Arguments: the one specification of an option (type, range, unit, meaning, default), which validates, lists and documents.

A component with options is a frozen dataclass whose fields are made by `argument`:

>>> @dataclass(frozen=True)
... class Noise:
...     level: float = argument(0.02, low=0, high=0.5, unit="of full scale", meaning="largest standard deviation")
>>> build(Noise, spec.pipeline("noise(0.1)")[0])
Noise(level=0.1)
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from mitotype.core import spec
from mitotype.core.errors import UserError
from mitotype.core.spec import Step, Value

T = TypeVar("T")


@dataclass(frozen=True)
class Argument:
    """One option: `low` to `high` (without them where `open_low`, `open_high`) in `unit` ("" for none), or one of `choices`.

    The type of `default` is the type of the option: an int takes whole numbers only, a str takes text, a tuple of pairs takes
    a dictionary. A required option is a number if it has a range, else text. An option with `by_name` is never given by its position.
    """

    name: str
    default: Any
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    unit: str = ""
    meaning: str = ""
    choices: tuple[str, ...] = ()
    by_name: bool = False

    @property
    def is_whole(self) -> bool:
        return isinstance(self.default, int)

    @property
    def is_text(self) -> bool:
        return isinstance(self.default, str) or (self.default is MISSING and self.low is None and self.high is None)

    @property
    def allowed(self) -> str:
        """The allowed values as text: "0 to 0.5 of full scale", "adam, adamw, muon"."""
        if self.choices:
            return ", ".join(self.choices)
        if self.is_text:
            return "text"
        if isinstance(self.default, tuple):
            return "a dictionary, as in {'drop_path_rate': 0.1}"
        ends = [f"{end:.7g}" for end in (self.low, self.high) if end is not None]
        text = " to ".join(ends) if len(ends) == 2 else f"at least {ends[0]}" if ends else "any number"
        excluded = [*ends[:1] * self.open_low, *ends[-1:] * self.open_high]
        text += f", {' and '.join(excluded)} excluded" if excluded else ""
        return ("whole numbers, " if self.is_whole else "") + f"{text} {self.unit}".strip()

    @property
    def shown_default(self) -> str:
        """The default as text, "…" where the option is required."""
        return _shown(self.default)

    def convert(self, value: Any, owner: str = "") -> Any:
        """Return `value` in the type of the option, whatever its range. Raises a UserError for a value of another type."""
        label = f"{self.name} of {owner}" if owner else self.name
        if self.is_text:
            if not isinstance(value, str):
                raise UserError(f"{label} is {value!r}.", allowed=self.allowed)
            return value
        if isinstance(self.default, tuple):
            try:
                return tuple(sorted(dict(value).items()))
            except (TypeError, ValueError) as error:
                raise UserError(f"{label} is {value!r}.", allowed=self.allowed) from error
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{label} is a number, not '{value}'.", allowed=self.allowed)
        if not spec.is_finite(value) or (self.is_whole and value != int(value)):
            raise UserError(f"{label} is {str(value)[:20]}.", allowed=self.allowed)
        return int(value) if self.is_whole else float(value)

    def check(self, value: Any, owner: str = "") -> Any:
        """Return `value` in the type of the option. Raises a UserError that names `owner` where it is not allowed."""
        value = self.convert(value, owner)
        label = f"{self.name} of {owner}" if owner else self.name
        if self.choices and value not in self.choices:
            raise UserError(f"{label} is {value!r}.", allowed=self.allowed)
        below = self.low is not None and (value <= self.low if self.open_low else value < self.low)
        above = self.high is not None and (value >= self.high if self.open_high else value > self.high)
        if below or above:
            raise UserError(f"{label} is {value:g}.", allowed=self.allowed)
        return value

    def __str__(self) -> str:
        """One line of a listing: "level=0.02 (0 to 0.5 of full scale): largest standard deviation"."""
        return f"{self.name}={_shown(self.default)} ({self.allowed}): {self.meaning}"


def _shown(default: Any) -> str:
    if default is MISSING:
        return "…"
    if isinstance(default, tuple):
        return str(dict(default))
    return default if isinstance(default, str) else f"{default:g}"


def argument(
    default: Any = MISSING,
    *,
    meaning: str,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
    open_high: bool = False,
    unit: str = "",
    choices: Sequence[str] = (),
    by_name: bool = False,
) -> Any:
    """Return a dataclass field that carries its specification; without a default it is required. See `Argument`."""
    options = {"low": low, "high": high, "open_low": open_low, "open_high": open_high, "unit": unit, "by_name": by_name}
    return field(default=default, metadata={**options, "meaning": meaning, "choices": tuple(choices)})


def arguments_of(component: Any) -> tuple[Argument, ...]:
    """Return the arguments of a component (a dataclass or an instance of one) in the order in which a spec gives them."""
    if not hasattr(component, "__dataclass_fields__"):
        return ()
    return tuple(
        Argument(name=f.name, default=f.default, **f.metadata) for f in fields(component) if "meaning" in f.metadata
    )


def signature(name: str, arguments: Sequence[Argument]) -> str:
    """Return a component as it is written with its defaults: "affine(degrees=180, scale=0.15)"."""
    inside = ", ".join(f"{a.name}={_shown(a.default)}" for a in arguments)
    return f"{name}({inside})" if inside else name


def values(step: Step, arguments: Sequence[Argument], by_name: Sequence[Argument] = ()) -> dict[str, Any]:
    """Return the checked values of a step of a spec by name, those that are given only. `by_name` need their name.

    Raises a UserError for too many numbers, an unknown name, a value given twice or out of its range.
    """
    if len(step.args) > len(arguments):
        takes = len(arguments) or "none"
        raise UserError(
            f"'{step}' has {len(step.args)} arguments; {step.name} takes {takes}.",
            allowed=signature(step.name, arguments),
        )
    known = {a.name: a for a in (*arguments, *by_name)}
    result: dict[str, Any] = {}
    for name, value in [*((a.name, v) for a, v in zip(arguments, step.args, strict=False)), *step.options]:
        if name in result:
            raise UserError(f"'{step}' gives {name} twice.", allowed=signature(step.name, arguments))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise UserError(
                f"{step.name} has no argument '{name}'.",
                nearest=near[0] if near else None,
                allowed=", ".join(known) or "none",
            )
        result[name] = known[name].check(value, step.name)
    return result


def build(component: type[T], step: Step) -> T:
    """Return the component that a step names, with the values of the step. Raises a UserError, see `values`."""
    arguments = arguments_of(component)
    positional, by_name = [a for a in arguments if not a.by_name], [a for a in arguments if a.by_name]
    given = values(step, positional, by_name)
    missing = [a for a in arguments if a.default is MISSING and a.name not in given]
    if missing:
        raise UserError(
            f"'{step}' has no {missing[0].name}.", allowed=f"{signature(step.name, arguments)}: {missing[0].allowed}"
        )
    return component(**given)


def single_step(text: str, kind: str, see: str) -> Step:
    """Return the only step of a spec such as "class_balanced(0.4)". Raises a UserError for another number of steps."""
    steps = spec.pipeline(text)
    if len(steps) != 1:
        raise UserError(f"'{text[:60]}' is not one {kind}.", allowed=f"one name with its arguments; see: {see}")
    return steps[0]


def spec_of(name: str, component: Any, **more: Value) -> str:
    """Return the canonical spec of an instance: one argument bare, several by name, then `more` by name."""
    given: list[tuple[str, Value]] = [(a.name, getattr(component, a.name)) for a in arguments_of(component)]
    if len(given) == 1:
        return str(Step(name, (given[0][1],), tuple(more.items())))
    return str(Step(name, (), (*given, *more.items())))


def summary(component: Any) -> str:
    """Return the first line of a component's docstring."""
    return (inspect.getdoc(component) or "").partition("\n")[0]
