"""Arguments: values by position and by name, their ranges and types, and what is listed of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mitotype.core import spec
from mitotype.core.arguments import Argument, argument, arguments_of, build, single_step, spec_of
from mitotype.core.errors import UserError


@dataclass(frozen=True)
class Example:
    """An example of a component."""

    rank: int = argument(8, low=1, high=64, meaning="rank of the update")
    rate: float = argument(0.5, low=0, high=1, open_high=True, unit="per step", meaning="rate")
    mode: str = argument("mean", choices=("mean", "sum"), meaning="reduction")


@dataclass(frozen=True)
class Required:
    """A component whose number has no default."""

    share: float = argument(low=0, high=0.5, open_low=True, meaning="share of rows")


def make(text: str) -> Example:
    return build(Example, spec.pipeline(text)[0])


def test_values_by_position_and_by_name() -> None:
    assert make("example") == Example()
    assert make("example(4, 0.25)") == Example(4, 0.25)
    assert make("example(rate=0, mode=sum)") == Example(8, 0.0, "sum")
    assert isinstance(make("example(rate=0)").rate, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("example(0)", "rank of example is 0"),
        ("example(1.5)", "rank of example is 1.5"),
        ("example(rate=1)", "0 to 1, 1 excluded per step"),
        ("example(rate=much)", "is a number, not 'much'"),
        ("example(mode=max)", "mean, sum"),
        ("example(8, rank=9)", "gives rank twice"),
        ("example(ranc=9)", "no argument 'ranc'. Nearest: rank"),
        ("example(1, 0.1, mean, 5)", "has 4 arguments; example takes 3"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        make(text)
    assert message in str(error.value)


def test_required_number() -> None:
    assert build(Required, spec.pipeline("required(0.5)")[0]) == Required(0.5)
    for text, message in (
        ("required", "'required' has no share"),
        ("required(0)", "0 to 0.5, 0 excluded"),
        ("required(half)", "is a number, not 'half'"),
    ):
        with pytest.raises(UserError, match=message):
            build(Required, spec.pipeline(text)[0])
    assert str(arguments_of(Required)[0]) == "share=… (0 to 0.5, 0 excluded): share of rows"


def test_one_component_of_several() -> None:
    assert build(Example, single_step("example(2)", "example", "mitotype examples")) == Example(2)
    for text in ("example | example", ""):
        with pytest.raises(UserError, match="is not one example"):
            single_step(text, "example", "mitotype examples")


def test_the_canonical_spec_and_the_listing() -> None:
    assert make(spec_of("example", Example(4))) == Example(4)
    assert str(arguments_of(Example)[0]) == "rank=8 (whole numbers, 1 to 64): rank of the update"


@pytest.mark.parametrize(
    "number", [10**400, -(10**400), float("inf"), float("nan")], ids=["large", "small", "inf", "nan"]
)
def test_a_number_beyond_the_range_of_a_float_is_refused(number: float) -> None:
    with pytest.raises(UserError, match="x is"):
        Argument("x", 1.0).convert(number)
    with pytest.raises(UserError, match="x is"):
        Argument("x", 1).convert(number)


def test_a_spec_has_no_numbers_beyond_the_range_of_a_float() -> None:
    for text in ("crop(" + "9" * 400 + ")", "crop(-1e999)", "a(x=" + "9" * 320 + ")", "9" * 400 + " * a"):
        with pytest.raises(UserError, match="not a finite number"):
            spec.weighted_sum(text)
