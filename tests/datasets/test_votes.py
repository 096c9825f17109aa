"""Soft targets: the formula, its limits, and patches without votes or with votes against the label."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotype.core.errors import UserError
from mitotype.datasets.votes import soft_target, soft_targets
from tests.datasets import example_folders as examples


def test_closed_forms() -> None:
    assert soft_target(2, 3, 1, smoothing=0) == pytest.approx(2 / 3)
    assert soft_target(3, 3, 1, smoothing=1) == pytest.approx(0.8)
    assert soft_target(0, 5, 0, smoothing=0.5) == pytest.approx(0.5 / 6)
    assert soft_target(math.nan, math.nan, 1, smoothing=0) == 1
    assert soft_target(math.nan, 0, 1, smoothing=1) == pytest.approx(2 / 3)
    assert soft_target(2, 3, 0, smoothing=0) == 0.5  # votes against the label
    assert soft_target(1, 2, 0, smoothing=0) == 0.5  # a tie
    assert soft_target(1, 3, math.nan, smoothing=0) == pytest.approx(1 / 3)
    assert math.isnan(soft_target(math.nan, math.nan, math.nan, smoothing=1))
    for smoothing in (-1.0, math.inf, math.nan):
        with pytest.raises(UserError, match="smoothing is"):
            soft_target(1, 3, 0, smoothing=smoothing)


@given(st.integers(0, 5), st.integers(1, 5), st.sampled_from([0.0, 1.0]), st.floats(0, 10))
def test_soft_target_is_a_probability_symmetric_in_the_classes(
    votes_for: int, votes: int, label: float, smoothing: float
) -> None:
    votes_for = min(votes_for, votes)
    target = soft_target(votes_for, votes, label, smoothing=smoothing)
    assert 0 <= target <= 1
    assert target == pytest.approx(1 - soft_target(votes - votes_for, votes, 1 - label, smoothing=smoothing))
    assert (target - 0.5) * (label - 0.5) >= 0  # never against the label


def test_soft_targets_of_a_cohort() -> None:
    cohort = examples.cohort(
        "x", {"patch_id": ["a", "b"], "label": [1.0, 0.0], "votes_for": [3.0, np.nan], "votes": [3.0, np.nan]}
    )
    np.testing.assert_allclose(soft_targets(cohort.rows, smoothing=1), [0.8, 1 / 3])
