"""Screening designs of two levels: which ingredients each run has, so that all main effects are estimated from every run.

Shapes: R runs, K ingredients.
"""

from __future__ import annotations

import numpy as np

from mitotype.core.errors import UserError

# First rows of Plackett & Burman, Biometrika 33 (1946), 305; a design is their cyclic shifts and a row without any ingredient.
FIRST_ROWS = {
    8: "+++-+--",
    12: "++-+++---+-",
    20: "++--++++-+-+----++-",
    24: "+++++-+-++--++--+-+----",
}


def plackett_burman(n_factors: int, n_runs: int = 12) -> np.ndarray:
    """Return `is_on_RK` (bool) with K = n_factors columns, any two of them orthogonal and each on in half of the runs.

    Main effects are estimated without bias by one another; two-way interactions are spread over the other effects. Raises a
    UserError for more factors than n_runs − 1, and for a number of runs that has no design here.
    """
    if n_runs not in FIRST_ROWS:
        raise UserError(f"No design has {n_runs} runs.", allowed=", ".join(map(str, FIRST_ROWS)))
    if n_factors > n_runs - 1:
        raise UserError(
            f"A design of {n_runs} runs has no place for {n_factors} ingredients.", allowed=f"at most {n_runs - 1}"
        )
    row = np.array([sign == "+" for sign in FIRST_ROWS[n_runs]])
    rows = [np.roll(row, shift) for shift in range(n_runs - 1)]
    return np.stack([*rows, np.zeros(n_runs - 1, bool)])[:, :n_factors]


def main_effects(is_on_RK: np.ndarray, value_R: np.ndarray) -> np.ndarray:
    """Return for each ingredient the mean of the runs with it minus the mean of those without; `value_R…` may have more axes."""
    on, off = is_on_RK.sum(0), (~is_on_RK).sum(0)
    contrast_KR = (is_on_RK / on - ~is_on_RK / off).T
    effect: np.ndarray = np.tensordot(contrast_KR, value_R, axes=(1, 0))
    return effect
