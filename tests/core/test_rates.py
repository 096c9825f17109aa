"""Rates: undefined quotients, and balanced accuracy against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from mitotype.core.rates import balanced_accuracy, divide


def test_divide_is_nan_for_an_empty_count() -> None:
    assert np.array_equal(divide(np.array([1.0, 0.0]), np.array([4, 0])), [0.25, math.nan], equal_nan=True)


def test_balanced_accuracy() -> None:
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 2, 50), rng.integers(0, 2, 50)
    assert math.isclose(balanced_accuracy(label, predicted), balanced_accuracy_score(label, predicted))
    assert math.isnan(balanced_accuracy(np.zeros(3), np.zeros(3)))
