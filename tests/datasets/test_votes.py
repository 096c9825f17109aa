"""Soft targets: the stated formula, its limits, and what is done without votes or against the label."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitotype.core.mistakes import Mistake
from mitotype.datasets.votes import soft_target, soft_targets
from tests.datasets import made


def test_closed_forms() -> None:
    assert soft_target(2, 3, 1, prior=0) == pytest.approx(2 / 3)
    assert soft_target(3, 3, 1, prior=1) == pytest.approx(0.8)
    assert soft_target(0, 5, 0, prior=0.5) == pytest.approx(0.5 / 6)
    assert soft_target(math.nan, math.nan, 1, prior=0) == 1
    assert soft_target(math.nan, 0, 1, prior=1) == pytest.approx(2 / 3)
    assert soft_target(2, 3, 0, prior=0) == 0.5  # votes against the label
    assert soft_target(1, 2, 0, prior=0) == 0.5  # a tie
    assert soft_target(1, 3, math.nan, prior=0) == pytest.approx(1 / 3)
    assert math.isnan(soft_target(math.nan, math.nan, math.nan, prior=1))
    for prior in (-1.0, math.inf, math.nan):
        with pytest.raises(Mistake, match="not possible"):
            soft_target(1, 3, 0, prior=prior)


@given(st.integers(0, 5), st.integers(1, 5), st.sampled_from([0.0, 1.0]), st.floats(0, 10))
def test_it_is_a_probability_symmetric_in_the_classes(votes_for: int, votes: int, label: float, prior: float) -> None:
    votes_for = min(votes_for, votes)
    target = soft_target(votes_for, votes, label, prior=prior)
    assert 0 <= target <= 1
    assert target == pytest.approx(1 - soft_target(votes - votes_for, votes, 1 - label, prior=prior))
    assert (target - 0.5) * (label - 0.5) >= 0  # never against the label


def test_of_a_cohort() -> None:
    cohort = made.cohort(
        "x", {"patch_id": ["a", "b"], "label": [1.0, 0.0], "votes_for": [3.0, np.nan], "votes": [3.0, np.nan]}
    )
    np.testing.assert_allclose(soft_targets(cohort.rows, prior=1), [0.8, 1 / 3])
