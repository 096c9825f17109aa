"""Rates of the predicted class: balanced accuracy, sensitivity, specificity, accuracy."""

from __future__ import annotations

import numpy as np

from mitotype.core.rates import divide
from mitotype.core.schema import ATYPICAL, NORMAL
from mitotype.evaluation.metrics.metric import BOTH, GROUP, MEMBERS, SET, Array, Metric, Resampled, metrics


def _rates(rows: Resampled) -> tuple[Array, Array, Array]:
    """Return sensitivity, specificity and accuracy in every replicate."""
    y, c = rows.label == 1, rows.predicted == 1
    tp, fn, fp, tn = rows.sums(np.stack([y & c, y & ~c, ~y & c, ~y & ~c], axis=1).astype(float)).T
    return divide(tp, tp + fn), divide(tn, tn + fp), divide(tp + tn, tp + tn + fp + fn)


def _share_called(label: Array, predicted: Array, weight: Array, cls: int) -> float:
    """Return the share of a class that is called so."""
    of_class = label == cls
    return float(weight[of_class & (predicted == cls)].sum() / weight[of_class].sum())


@metrics.add("balanced_accuracy")
class BalancedAccuracy(Metric):
    """Mean of sensitivity and specificity."""

    title, head, order = "balanced accuracy", "bal. acc.", 1
    reads, larger_is_better, scale = "class", True, "unit"
    requires = BOTH
    tables = (SET, MEMBERS, GROUP)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return sum(_share_called(label, predicted, weight, cls) for cls in BOTH) / 2

    def replicates(self, rows: Resampled) -> Array:
        sensitivity, specificity, _ = rows.shared(_rates)
        return (sensitivity + specificity) / 2


@metrics.add("sensitivity")
class Sensitivity(Metric):
    """Share of atypical figures that are classified as atypical: TP / (TP + FN)."""

    title, head, order = "sensitivity", "sens.", 2
    reads, larger_is_better, scale = "class", True, "unit"
    requires = (ATYPICAL,)
    tables = (SET, MEMBERS, GROUP)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return _share_called(label, predicted, weight, ATYPICAL)

    def replicates(self, rows: Resampled) -> Array:
        return rows.shared(_rates)[0]


@metrics.add("specificity")
class Specificity(Metric):
    """Share of normal figures that are classified as normal: TN / (TN + FP)."""

    title, head, order = "specificity", "spec.", 3
    reads, larger_is_better, scale = "class", True, "unit"
    requires = (NORMAL,)
    tables = (SET, MEMBERS, GROUP)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return _share_called(label, predicted, weight, NORMAL)

    def replicates(self, rows: Resampled) -> Array:
        return rows.shared(_rates)[1]


@metrics.add("accuracy")
class Accuracy(Metric):
    """Share of figures called correctly: (TP + TN) / all."""

    title, head, order = "accuracy", "accuracy", 4
    reads, larger_is_better, scale = "class", True, "unit"
    tables = (MEMBERS,)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return float(weight[predicted == label].sum() / weight.sum())

    def replicates(self, rows: Resampled) -> Array:
        return rows.shared(_rates)[2]
