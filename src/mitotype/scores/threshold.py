"""Threshold: the probability from which a figure is called atypical, fitted so that it varies little between samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from scipy.special import ndtr

from mitotype.core import arguments
from mitotype.core.arguments import argument
from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.run_layout import Threshold
from mitotype.scores.calibrate import logit_of, sigmoid

GRID = 201


class Rule(Protocol):
    """A rule returns the threshold for probabilities and labels; `is_fitted` if it depends on them."""

    is_fitted: ClassVar[bool]

    def threshold(self, probability: np.ndarray, label: np.ndarray) -> float: ...


@dataclass(frozen=True)
class Half:
    """A threshold of 0.5."""

    is_fitted: ClassVar[bool] = False

    def threshold(self, probability: np.ndarray, label: np.ndarray) -> float:
        return 0.5


@dataclass(frozen=True)
class At:
    """A given threshold."""

    is_fitted: ClassVar[bool] = False
    probability: float = argument(low=0, high=1, open_low=True, open_high=True, meaning="the threshold")

    def threshold(self, probability: np.ndarray, label: np.ndarray) -> float:
        return self.probability


@dataclass(frozen=True)
class BalancedAccuracy:
    """The maximum of the smoothed balanced accuracy, see `smoothed_optimum`."""

    is_fitted: ClassVar[bool] = True

    def threshold(self, probability: np.ndarray, label: np.ndarray) -> float:
        return smoothed_optimum(probability, label)


@dataclass(frozen=True)
class Sensitivity:
    """The highest threshold with a sensitivity of at least `value`, which is the one with the best specificity."""

    is_fitted: ClassVar[bool] = True
    value: float = argument(low=0, high=1, open_low=True, open_high=True, meaning="lowest allowed sensitivity")

    def threshold(self, probability: np.ndarray, label: np.ndarray) -> float:
        return sensitivity_threshold(probability, label, self.value)


@dataclass(frozen=True)
class Specificity:
    """The lowest threshold with a specificity of at least `value`, which is the one with the best sensitivity."""

    is_fitted: ClassVar[bool] = True
    value: float = argument(low=0, high=1, open_low=True, open_high=True, meaning="lowest allowed specificity")

    def threshold(self, probability: np.ndarray, label: np.ndarray) -> float:
        return specificity_threshold(probability, label, self.value)


RULES: Mapping[str, type[Rule]] = {
    "half": Half,
    "at": At,
    "balanced_accuracy": BalancedAccuracy,
    "sensitivity": Sensitivity,
    "specificity": Specificity,
}


def fit(
    probability: np.ndarray,
    label: np.ndarray,
    case: np.ndarray,
    rule: str = "balanced_accuracy",
    *,
    folds: int = 5,
    seed: int = 0,
) -> Threshold:
    """Fit a threshold by one of `RULES` on probabilities with labels 0 and 1; the rows of one `case` share a fold.

    Raises a UserError for an unknown rule and for rows of one class.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    fitter = arguments.build_one(rule, RULES, "threshold rule", "mitotype train --help")
    if fitter.is_fitted and not _has_both_classes(y):
        raise UserError(f"A threshold cannot be fitted on {len(y)} rows of one class.", fix="fit it on both classes")
    value = fitter.threshold(p, y)
    if not fitter.is_fitted:
        return Threshold(value, rule)
    predicted = cross_fitted(p, y, case_folds(case, y, folds=folds, seed=seed), fitter)
    if predicted is None:
        return Threshold(value, rule, note="too few cases with both classes for cross-fitted rates")
    sensitivity, specificity = float(predicted[y == 1].mean()), float((~predicted[y == 0]).mean())
    return Threshold(value, rule, sensitivity, specificity, (sensitivity + specificity) / 2)


def cross_fitted(probability: np.ndarray, label: np.ndarray, fold: np.ndarray, rule: Rule) -> np.ndarray | None:
    """Return whether each row reaches the threshold that `rule` gives on the other folds; None where these lack a class."""
    predicted = np.zeros(len(label), bool)
    for index in range(int(fold.max()) + 1):
        others = fold != index
        if not _has_both_classes(label[others]):
            return None
        predicted[~others] = probability[~others] >= rule.threshold(probability[others], label[others])
    return predicted


def _has_both_classes(label: np.ndarray) -> bool:
    return bool((label == 1).any() and (label == 0).any())


def sensitivity_threshold(probability: np.ndarray, label: np.ndarray, sensitivity: float) -> float:
    """Return the highest threshold that at least the share `sensitivity` of the atypical rows reaches.

    It is the midpoint to the next lower score, so that the same rows reach it after rounding elsewhere.
    """
    positive = np.sort(probability[label == 1])[::-1]
    last = positive[int(np.ceil(sensitivity * len(positive) - 1e-9)) - 1]
    below = probability[probability < last]
    if not len(below):
        return float(last)
    above = np.nextafter(below.max(), 1)  # adjacent floating-point numbers have no midpoint: it would round down
    return float(max((last + below.max()) / 2, above))


def specificity_threshold(probability: np.ndarray, label: np.ndarray, specificity: float) -> float:
    """Return the lowest threshold that at most the share 1 - `specificity` of the normal rows reaches.

    It is the midpoint between two scores, or 1 where the highest score is that of too many normal rows.
    """
    negative = np.sort(probability[label == 0])
    last = negative[int(np.ceil(specificity * len(negative) - 1e-9)) - 1]  # the highest that is called normal
    above = probability[probability > last]
    if not len(above):
        return 1.0
    return float(max((last + above.min()) / 2, np.nextafter(last, 1)))


def smoothed_optimum(probability: np.ndarray, label: np.ndarray) -> float:
    """Return the threshold with the best balanced accuracy after each class is smoothed on the logit scale.

    Every row is a normal density around its logit with Silverman's bandwidth of its class,
    1.06 · min(SD, IQR / 1.34) · n^(-1/5). The optimum of the raw steps follows single patches: on simulated cohorts like
    AMi-Br's training part (146 cases, 648 atypical rows, case effects) its SD was .15 in logit and it cost .13 to .15 points
    of balanced accuracy; the median over bootstraps by case .12 to .14 and .09 to .12; this rule .07 to .09 and .03 to .05,
    without bias for classes of unequal variance. (The prevalence as threshold is steadier only for exact calibration.)
    """
    z = logit_of(probability)
    atypical, normal = z[label == 1], z[label == 0]
    bandwidth_1, bandwidth_0 = _bandwidth(atypical), _bandwidth(normal)
    low, high = (float(q) for q in np.quantile(z, [0.005, 0.995]))
    best = low
    for _ in range(2):  # the range of all logits, then one grid step around its optimum
        grid = np.linspace(low, high, GRID)
        sensitivity = np.array([ndtr((atypical - point) / bandwidth_1).mean() for point in grid])
        specificity = np.array([ndtr((point - normal) / bandwidth_0).mean() for point in grid])
        best, step = _midpoint_of_maximum(grid, sensitivity + specificity), grid[1] - grid[0]
        low, high = best - step, best + step
    return float(sigmoid(best))


def _bandwidth(z: np.ndarray) -> float:
    low, high = np.quantile(z, [0.25, 0.75])
    scale = min(s for s in (z.std(), (high - low) / 1.34, np.inf) if s > 0)
    return float(1.06 * (scale if np.isfinite(scale) else 1e-3) * len(z) ** -0.2)


def _midpoint_of_maximum(grid: np.ndarray, height: np.ndarray) -> float:
    """Return the middle of the interval where `height` is maximal, so that a gap between the classes is halved."""
    top = np.flatnonzero(height >= height.max() - 1e-12)
    run = top[: int(np.argmax(np.append(np.diff(top) > 1, True))) + 1]
    return float((grid[run[0]] + grid[run[-1]]) / 2)
