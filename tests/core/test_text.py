"""Numbers and tables as text."""

from __future__ import annotations

from math import nan

import pytest

from mitotype.core import number_format, text_tables


@pytest.mark.parametrize(
    ("value", "text", "short", "signed"),
    [
        (0.8134, "0.813", ".813", "+.813"),
        (-0.5, "-0.500", "-.500", "-.500"),
        (1.0, "1.000", "1.000", "+1.000"),
        (0.9996, "1.000", "1.000", "+1.000"),
        (10.5, "10.500", "10.500", "+10.500"),
        (0.0, "0.000", ".000", "+.000"),
        (nan, "–", "–", "–"),
        (None, "–", "–", "–"),
    ],
)
def test_number(value: float | None, text: str, short: str, signed: str) -> None:
    assert number_format.number(value) == text
    assert number_format.number(value, leading_zero=False) == short
    assert number_format.number(value, leading_zero=False, sign=True) == signed


def test_undefined_bounds_are_left_out() -> None:
    assert number_format.bounds(0.1, 0.25) == "0.100–0.250"
    assert number_format.interval(0.2, 0.1, 0.25) == "0.200 [0.100, 0.250]"
    assert number_format.mean_sd(0.2, 0.1, 2) == "0.20 ± 0.10"
    assert (number_format.bounds(nan, nan), number_format.bounds(None, None)) == ("", "")
    assert number_format.interval(0.2, nan, nan) == number_format.mean_sd(0.2, nan) == "0.200"
    assert number_format.interval(nan, nan, nan) == number_format.mean_sd(nan, nan) == "–"


def test_tables() -> None:
    rows = [("a|b", 1), ("c", "2\n3")]
    assert text_tables.markdown(("x", "n"), rows) == "| x | n |\n|---|---|\n| a\\|b | 1 |\n| c | 2 3 |"
    assert text_tables.plain(("", "n"), [("a", 10), ("bbb", 2)]) == "      n\n-------\na    10\nbbb   2"
