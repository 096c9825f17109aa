"""Metrics: `metric(label, predicted, probability or score) -> Number`. Atypical (1) is positive; undefined is nan with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mitotype.core.errors import unknown_name
from mitotype.core.metric_titles import TABLE_METRICS, TITLES
from mitotype.evaluation import recalibration

NO_ATYPICAL = "no atypical patch"
NO_NORMAL = "no normal patch"
NO_PATCH = "no patch"
ECE_BINS = 10
LOG_CLIP = 1e-15


@dataclass(frozen=True)
class Number:
    """A value, or nan with the reason why it is undefined."""

    value: float
    reason: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.value) and not self.reason:
            raise ValueError("nan needs a reason")

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Metric:
    """One metric of the predicted class (`input` is CLASS), of the probability, or of the ranking by any score."""

    name: str
    input: str
    compute: Callable[[np.ndarray, np.ndarray], Number]
    definition: str

    @property
    def title(self) -> str:
        title = TITLES[self.name]
        return title[0].upper() + title[1:]

    def __call__(self, label: np.ndarray, values: np.ndarray) -> Number:
        return self.compute(np.asarray(label), np.asarray(values))


def sensitivity(label: np.ndarray, predicted: np.ndarray) -> Number:
    """TP / (TP + FN)."""
    positive = label == 1
    return Number(float((predicted[positive] == 1).mean())) if positive.any() else Number(math.nan, NO_ATYPICAL)


def specificity(label: np.ndarray, predicted: np.ndarray) -> Number:
    """TN / (TN + FP)."""
    negative = label == 0
    return Number(float((predicted[negative] == 0).mean())) if negative.any() else Number(math.nan, NO_NORMAL)


def balanced_accuracy(label: np.ndarray, predicted: np.ndarray) -> Number:
    """Mean of sensitivity and specificity."""
    missing = _missing_class(label)
    if missing:
        return Number(math.nan, missing)
    return Number((sensitivity(label, predicted).value + specificity(label, predicted).value) / 2)


def accuracy(label: np.ndarray, predicted: np.ndarray) -> Number:
    """(TP + TN) / all."""
    return Number(float((predicted == label).mean())) if len(label) else Number(math.nan, NO_PATCH)


def auroc(label: np.ndarray, score: np.ndarray) -> Number:
    """Share of (atypical, normal) pairs in which the atypical patch has the higher score; a tie counts half.

    Pairs are counted as integers, so that the result is the exact fraction, rounded once.
    """
    missing = _missing_class(label)
    if missing:
        return Number(math.nan, missing)
    negative = np.sort(score[label == 0])
    positive = score[label == 1]
    below, up_to = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
    return Number(int(below.sum() + up_to.sum()) / (2 * len(positive) * len(negative)))


def auprc(label: np.ndarray, score: np.ndarray) -> Number:
    """Average precision: Σ (R_k - R_{k-1}) · P_k over the distinct scores from the highest down. Chance is the prevalence."""
    missing = _missing_class(label)
    if missing:
        return Number(math.nan, missing)
    order = np.argsort(-score, kind="stable")
    hits, last = np.cumsum(label[order] == 1), np.append(np.diff(score[order]) != 0, True)
    precision = (hits / np.arange(1, len(label) + 1))[last]
    return Number(float(np.diff(np.append(0, hits[last])) @ precision / hits[-1]))


def brier(label: np.ndarray, probability: np.ndarray) -> Number:
    """Mean of (probability - label)²."""
    return Number(float(np.mean((probability - label) ** 2))) if len(label) else Number(math.nan, NO_PATCH)


def log_loss(label: np.ndarray, probability: np.ndarray) -> Number:
    """Mean of -ln P(label) in nats; probabilities are clipped to 1e-15 … 1 - 1e-15."""
    if not len(label):
        return Number(math.nan, NO_PATCH)
    p = np.clip(probability, LOG_CLIP, 1 - LOG_CLIP)
    return Number(float(-np.mean(np.where(label == 1, np.log(p), np.log1p(-p)))))


def ece(label: np.ndarray, probability: np.ndarray) -> Number:
    """Expected calibration error: Σ_b n_b / n · |mean P(atypical) - share of atypical| over ten bins of equal width.

    The bins are on P(atypical), not on the confidence in the winning class: [0, .1), [.1, .2) … [.9, 1].
    """
    if not len(label):
        return Number(math.nan, NO_PATCH)
    bins = ece_bin(probability)
    gap = np.bincount(bins, weights=probability - label, minlength=ECE_BINS)
    return Number(float(np.abs(gap).sum() / len(label)))


def calibration_slope(label: np.ndarray, probability: np.ndarray) -> Number:
    """Slope of the labels' logistic regression on the logit of P(atypical); see `recalibration`."""
    return _coefficient(label, probability, slope=True)


def calibration_intercept(label: np.ndarray, probability: np.ndarray) -> Number:
    """Intercept of the labels' logistic regression with the logit of P(atypical) as offset; see `recalibration`."""
    return _coefficient(label, probability, slope=False)


def _coefficient(label: np.ndarray, probability: np.ndarray, *, slope: bool) -> Number:
    if missing := _missing_class(label):
        return Number(math.nan, missing)
    value = float(recalibration.fit(label, probability, slope=slope)[-1])
    return Number(value, "the likelihood has no maximum" if math.isnan(value) else "")


def observed_expected(label: np.ndarray, probability: np.ndarray) -> Number:
    """Number of atypical patches over the sum of P(atypical)."""
    expected = float(probability.sum())
    return Number(float(label.sum()) / expected) if expected > 0 else Number(math.nan, NO_PATCH)


def ece_bin(probability: np.ndarray) -> np.ndarray:
    """Return the bin 0..9 of each probability."""
    return np.searchsorted(np.arange(1, ECE_BINS) / ECE_BINS, probability, side="right")


def _missing_class(label: np.ndarray) -> str:
    if not (label == 1).any():
        return NO_ATYPICAL if len(label) else NO_PATCH
    return "" if (label == 0).any() else NO_NORMAL


CLASS, PROBABILITY, SCORE = "class", "probability", "score"
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("balanced_accuracy", CLASS, balanced_accuracy, "mean of sensitivity and specificity"),
        Metric("sensitivity", CLASS, sensitivity, "share of atypical figures called atypical"),
        Metric("specificity", CLASS, specificity, "share of normal figures called normal"),
        Metric("accuracy", CLASS, accuracy, "share of figures called correctly"),
        Metric("auroc", SCORE, auroc, "share of atypical–normal pairs in the right order, ties half"),
        Metric("auprc", SCORE, auprc, "average precision; chance is the prevalence"),
        Metric("brier", PROBABILITY, brier, "mean squared difference between P(atypical) and the label"),
        Metric("log_loss", PROBABILITY, log_loss, "mean -ln P(label), in nats"),
        Metric("ece", PROBABILITY, ece, "mean |P(atypical) - share atypical| over ten equal bins of P(atypical)"),
        Metric("observed_expected", PROBABILITY, observed_expected, "atypical figures over the sum of P(atypical)"),
        Metric("calibration_intercept", PROBABILITY, calibration_intercept, "of labels on logit P(atypical), slope 1"),
        Metric("calibration_slope", PROBABILITY, calibration_slope, "of labels on logit P(atypical)"),
    )
}
SHOWN = [METRICS[name] for name in TABLE_METRICS]


def get(name: str) -> Metric:
    """Return the metric called `name`. Raises a UserError with the nearest names for an unknown one."""
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS, "the report")
    return METRICS[name]


def compute(
    name: str, label: np.ndarray, predicted: np.ndarray, probability: np.ndarray, score: np.ndarray | None = None
) -> Number:
    """Return the metric `name` of labels (0, 1), predicted classes (0, 1), P(atypical) and the score that ranks.

    The score is the logit, or by default the probability, which ties all logits above 36.
    """
    metric = get(name)
    values = {CLASS: predicted, PROBABILITY: probability, SCORE: probability if score is None else score}
    return metric(label, values[metric.input])
