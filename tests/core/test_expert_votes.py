"""Votes of experts: parsing, and the majority of the others by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mitotype.core.expert_votes import majority_of_others, parse_votes


def test_votes_by_hand() -> None:
    vote_NE = parse_votes(["AAN", "NNN", "ANN", "NA-", None, "'-AA"])
    assert vote_NE.shape == (6, 3) and np.isnan(vote_NE[4]).all() and np.isnan([vote_NE[3, 2], vote_NE[5, 0]]).all()
    assert list(majority_of_others(vote_NE, 2)[:3]) == [1.0, 0.0, pytest.approx(math.nan, nan_ok=True)]
    assert list(majority_of_others(vote_NE, 0)[[1, 3]]) == [0.0, 1.0]
    assert parse_votes([]).shape == (0, 0) and parse_votes([None, None]).shape == (2, 0)
