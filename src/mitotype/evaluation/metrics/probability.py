"""Errors of the probability: Brier score, log loss, ECE, observed / expected."""

from __future__ import annotations

import math

import numpy as np

from mitotype.core.rates import divide
from mitotype.evaluation.metrics.metric import CALIBRATION, MEMBERS, Array, Metric, Resampled, metrics

ECE_BINS = 10
LOG_CLIP = 1e-15


def ece_bin(probability: Array) -> Array:
    """Return the bin 0..9 of each probability."""
    return np.searchsorted(np.arange(1, ECE_BINS) / ECE_BINS, probability, side="right")


def _log_loss(label: Array, probability: Array) -> Array:
    """Return -ln P(label) of every row."""
    p = np.clip(probability, LOG_CLIP, 1 - LOG_CLIP)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def _sums(rows: Resampled) -> Array:
    """Return in every replicate the sums of 1, squared error, log loss, label, probability, and of the gap in each bin."""
    label, probability = rows.label, rows.probability
    in_bin = ece_bin(probability)[:, None] == np.arange(ECE_BINS)
    errors = [(probability - label) ** 2, _log_loss(label, probability), label, probability]
    columns = [np.ones(len(label)), *errors, *((probability - label)[:, None] * in_bin).T]
    return rows.sums(np.stack(columns, axis=1))


@metrics.add("brier")
class Brier(Metric):
    """Mean squared difference between P(atypical) and the label."""

    title, head, order = "Brier score", "Brier", 7
    reads, larger_is_better, scale = "probability", False, "unit"

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return float((weight * (probability - label) ** 2).sum() / weight.sum())

    def replicates(self, rows: Resampled) -> Array:
        sums = rows.shared(_sums)
        return divide(sums[:, 1], sums[:, 0])


@metrics.add("log_loss")
class LogLoss(Metric):
    """Mean -ln P(label), in nats; probabilities are clipped to 1e-15 … 1 - 1e-15."""

    title, head, order = "log loss", "log loss", 8
    reads, larger_is_better, scale = "probability", False, "positive"
    tables = (MEMBERS,)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        return float((weight * _log_loss(label, probability)).sum() / weight.sum())

    def replicates(self, rows: Resampled) -> Array:
        sums = rows.shared(_sums)
        return divide(sums[:, 2], sums[:, 0])


@metrics.add("ece")
class Ece(Metric):
    """Expected calibration error: mean |P(atypical) - share atypical| over ten equal bins of P(atypical).

    Σ_b n_b / n · |mean P(atypical) - share of atypical|. The bins are on P(atypical), not on the confidence in the winning
    class: [0, .1), [.1, .2) … [.9, 1].
    """

    title, head, order = "ECE", "ECE", 9
    reads, larger_is_better, scale = "probability", False, "unit"

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        gap = np.bincount(ece_bin(probability), weights=weight * (probability - label), minlength=ECE_BINS)
        return float(np.abs(gap).sum() / weight.sum())

    def replicates(self, rows: Resampled) -> Array:
        sums = rows.shared(_sums)
        return divide(np.abs(sums[:, 5:]).sum(axis=1), sums[:, 0])


@metrics.add("observed_expected")
class ObservedExpected(Metric):
    """Number of atypical figures over the sum of P(atypical)."""

    title, head, order = "observed / expected", "obs. / exp.", 12
    reads, larger_is_better, scale, ideal = "probability", None, "positive", 1
    undefined = "every P(atypical) is 0"
    tables = (MEMBERS, CALIBRATION)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        expected = float((weight * probability).sum())
        return float((weight * label).sum()) / expected if expected > 0 else math.nan

    def replicates(self, rows: Resampled) -> Array:
        sums = rows.shared(_sums)
        return divide(sums[:, 3], sums[:, 4])
