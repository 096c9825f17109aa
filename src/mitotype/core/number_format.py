"""Numbers as text: nan (or None) is a dash and never 0, bounds that are undefined are left out."""

from __future__ import annotations

import math

DASH = "–"


def number(value: float | None, digits: int = 3, *, leading_zero: bool = True, sign: bool = False) -> str:
    """Return `0.813`, `.813` without the leading zero, `+0.813` with the sign, or a dash."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text if leading_zero or abs(value) >= 1 else text.replace("0.", ".", 1)


def bounds(low: float | None, high: float | None, digits: int = 3, *, leading_zero: bool = True) -> str:
    """Return `0.781–0.845`, or nothing where the bounds are undefined."""
    if low is None or high is None or math.isnan(low):
        return ""
    return DASH.join(number(bound, digits, leading_zero=leading_zero) for bound in (low, high))


def bracketed(
    low: float | None, high: float | None, digits: int = 3, *, leading_zero: bool = True, sign: bool = False
) -> str:
    """Return `[0.781, 0.845]`, or nothing where the bounds are undefined."""
    if low is None or high is None or math.isnan(low):
        return ""
    return "[" + ", ".join(number(bound, digits, leading_zero=leading_zero, sign=sign) for bound in (low, high)) + "]"


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """Return `0.813 [0.781, 0.845]`, without bounds where they are undefined."""
    return f"{number(value, digits)} {bracketed(low, high, digits)}".strip()


def mean_sd(value: float | None, sd: float | None, digits: int = 3) -> str:
    """Return `0.813 ± 0.012`, without the standard deviation where it is undefined."""
    mean = number(value, digits)
    return mean if sd is None or math.isnan(sd) else f"{mean} ± {number(sd, digits)}"
