"""Experts' votes become soft targets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Mistake

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def soft_target(votes_for: float, votes: float, label: float, *, prior: float) -> float:
    """The target of one patch, in [0, 1]: the mean of a Beta(prior, prior) after its votes,

        t = (votes_for + prior) / (votes + 2 · prior).

    prior 0 is the share of votes; 1 is Laplace's rule (3 of 3 → .8). A patch without votes counts its label as one vote.
    Where the votes' majority contradicts the label neither is believed: t = 1/2. A patch with neither is nan.
    """
    if not 0 <= prior < math.inf:
        raise Mistake(f"A prior of {prior:g} votes is not possible.", allowed="0 or more")
    if not votes > 0:  # nan or none
        if math.isnan(label):
            return math.nan
        votes_for, votes = label, 1.0
    elif (2 * votes_for - votes) * (2 * label - 1) < 0:
        return 0.5
    return (votes_for + prior) / (votes + 2 * prior)


def soft_targets(rows: pd.DataFrame, *, prior: float) -> np.ndarray:
    """`soft_target` of every row of a cohort, float64, in order."""
    import numpy as np

    columns = (rows[name].to_numpy(dtype=float) for name in ("votes_for", "votes", "label"))
    return np.array([soft_target(*row, prior=prior) for row in zip(*columns, strict=True)], dtype=float)
