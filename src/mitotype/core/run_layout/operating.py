"""Operating points of a bundle: the thresholds that reach a sensitivity or a specificity, with their out-of-fold rates."""

from __future__ import annotations

from typing import Literal

from mitotype.core import number_format
from mitotype.core.records import Count, Record, Share

Rate = Literal["sensitivity", "specificity"]
Bounds = tuple[Share, Share]


class OperatingPoint(Record, frozen=True, kw_only=True):
    """A threshold, and the sensitivity and specificity that it had out of fold.

    Parameters
    ----------
    threshold : float
        P(atypical) from which a figure is classified as atypical.
    band : tuple of float
        P(atypical) between which the decision is "uncertain".
    sensitivity, specificity : float or None
        Out-of-fold rates: each case is decided by a threshold that was fitted on other cases. None where they are unknown.
    sensitivity_bounds, specificity_bounds : tuple of float or None
        95 % intervals over cases. None for rates of 0 and 1, for fewer than five cases, and where they are unknown.
    requested : float or None
        The sensitivity or specificity that the threshold was fitted for.
    """

    threshold: Share
    band: Bounds
    sensitivity: Share | None = None
    specificity: Share | None = None
    sensitivity_bounds: Bounds | None = None
    specificity_bounds: Bounds | None = None
    requested: Share | None = None

    def __str__(self) -> str:
        rates = (
            ("sensitivity", self.sensitivity, self.sensitivity_bounds),
            ("specificity", self.specificity, self.specificity_bounds),
        )
        shown = (f"{name} {number_format.interval(value, *(bounds or (None, None)))}" for name, value, bounds in rates)
        return f"threshold {self.threshold:.4f}; out of fold, {' and '.join(shown)}"


class OperatingCurve(Record, frozen=True, kw_only=True):
    """The operating points for a grid of sensitivities and one of specificities, each in increasing order of `requested`."""

    patches: Count
    atypical: Count
    cases: Count
    sensitivity: tuple[OperatingPoint, ...]
    specificity: tuple[OperatingPoint, ...]

    def points(self, rate: Rate) -> tuple[OperatingPoint, ...]:
        """Return the points of one grid."""
        return self.sensitivity if rate == "sensitivity" else self.specificity

    def point(self, rate: Rate, value: float) -> OperatingPoint | None:
        """Return the first point that was fitted for at least `value`; None beyond the grid."""
        return next((point for point in self.points(rate) if (point.requested or 0.0) >= value - 1e-9), None)
