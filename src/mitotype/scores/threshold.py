"""Threshold: the probability from which a figure is classified as atypical, with cross-fitted rates beside it."""

from __future__ import annotations

import numpy as np

from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.run_layout import Threshold
from mitotype.scores.thresholds import ThresholdRule, thresholds


def fit(
    probability: np.ndarray,
    label: np.ndarray,
    unit: np.ndarray,
    rule: str = "balanced_accuracy",
    *,
    folds: int = 5,
    seed: int = 0,
) -> Threshold:
    """Fit a threshold by a rule of `scores.thresholds` on probabilities with labels 0 and 1.

    Its rates are cross-fitted over `folds`; the rows of one `unit` (a case, a domain) share a fold. Raises a UserError for an
    unknown rule and for rows of one class.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    fitter = thresholds.build(rule)
    if fitter.is_fitted and not _has_both_classes(y):
        raise UserError(f"A threshold cannot be fitted on {len(y)} rows of one class.", fix="fit it on both classes")
    value = fitter.threshold(p, y)
    if not fitter.is_fitted:
        return Threshold(value, rule)
    predicted = cross_fitted(p, y, case_folds(unit, y, folds=folds, seed=seed), fitter)
    if predicted is None:
        return Threshold(value, rule, note="too few cases with both classes for cross-fitted rates")
    sensitivity, specificity = float(predicted[y == 1].mean()), float((~predicted[y == 0]).mean())
    return Threshold(value, rule, sensitivity, specificity, (sensitivity + specificity) / 2)


def cross_fitted(
    probability: np.ndarray, label: np.ndarray, fold: np.ndarray, rule: ThresholdRule
) -> np.ndarray | None:
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
