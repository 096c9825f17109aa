"""Calibration slope and intercept: the logistic regression of labels on the logit of P(atypical); see `recalibration`."""

from __future__ import annotations

from mitotype.evaluation import recalibration
from mitotype.evaluation.metrics.metric import BOTH, CALIBRATION, MEMBERS, Array, Metric, Resampled, metrics


def _replicates(rows: Resampled, *, slope: bool) -> Array:
    bootstrap = rows.bootstrap
    return recalibration.replicates(
        rows.label, rows.probability, bootstrap.code_N, bootstrap.weight_DC, slope=slope
    )  # fmt: skip


@metrics.add("calibration_slope")
class CalibrationSlope(Metric):
    """Slope of the logistic regression of labels on logit P(atypical)."""

    title, head, order = "calibration slope", "cal. slope", 10
    reads, larger_is_better, scale, ideal = "probability", None, "real", 1
    requires, undefined = BOTH, "the likelihood has no maximum"
    tables = (MEMBERS, CALIBRATION)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return float(recalibration.fit(label, probability, weight, slope=True)[-1])

    def replicates(self, rows: Resampled) -> Array:
        return _replicates(rows, slope=True)


@metrics.add("calibration_intercept")
class CalibrationIntercept(Metric):
    """Intercept of the logistic regression of labels on logit P(atypical), slope 1."""

    title, head, order = "calibration intercept", "cal. intercept", 11
    reads, larger_is_better, scale, ideal = "probability", None, "real", 0
    requires, undefined = BOTH, "the likelihood has no maximum"
    tables = (MEMBERS, CALIBRATION)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return float(recalibration.fit(label, probability, weight, slope=False)[-1])

    def replicates(self, rows: Resampled) -> Array:
        return _replicates(rows, slope=False)
