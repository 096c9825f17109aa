"""Rates: quotients that are nan where they are undefined, and balanced accuracy."""

from __future__ import annotations

import math

import numpy as np


def divide(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return total / count; nan where the count is 0."""
    return np.divide(total, count, out=np.full(np.shape(total), math.nan), where=count > 0)


def balanced_accuracy(label: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean of sensitivity and specificity of 0/1 predictions; nan without rows of both classes."""
    positive, negative = label == 1, label == 0
    if not (positive.any() and negative.any()):
        return math.nan
    return float(((predicted[positive] == 1).mean() + (predicted[negative] == 0).mean()) / 2)


def or_none(value: float) -> float | None:
    """Return a rate as records store it: None where it is undefined."""
    return None if math.isnan(value) else value
