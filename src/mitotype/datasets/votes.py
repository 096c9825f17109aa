"""Soft targets from the votes of experts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mitotype.core.errors import UserError


def soft_target(votes_for: float, votes: float, label: float, *, smoothing: float) -> float:
    """Return the target of one patch in [0, 1], the posterior mean of a Beta(smoothing, smoothing) prior given its votes,

        t = (votes_for + smoothing) / (votes + 2 · smoothing).

    smoothing 0 gives the share of votes, 1 Laplace's rule (3 of 3 → .8). A patch without votes counts its label as one vote;
    without votes and label it is nan. Where the majority of the votes contradicts the label, t = 1/2.
    """
    if not 0 <= smoothing < math.inf:
        raise UserError(f"smoothing is {smoothing:g}.", allowed="0 or more")
    if not votes > 0:  # nan or none
        if math.isnan(label):
            return math.nan
        votes_for, votes = label, 1.0
    elif (2 * votes_for - votes) * (2 * label - 1) < 0:
        return 0.5
    return (votes_for + smoothing) / (votes + 2 * smoothing)


def soft_targets(rows: pd.DataFrame, *, smoothing: float) -> np.ndarray:
    """Return the `soft_target` of every row of a cohort, float64, in order."""
    columns = (rows[name].to_numpy(dtype=float) for name in ("votes_for", "votes", "label"))
    return np.array([soft_target(*row, smoothing=smoothing) for row in zip(*columns, strict=True)], dtype=float)
