"""How far the experts agree: Cohen's and Fleiss' κ, unanimity, and each expert against the majority of the others.

Votes are strings over A (atypical), N (normal) and - (none), one sign per expert in order. What is undefined is nan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Agreement:
    """`patches` carry every expert's vote; Fleiss' κ, unanimity and the shares of votes are of these.

    cohen: κ of each pair of experts (1-based) on the patches that both judged. against_others: per expert the balanced
    accuracy against the majority of the others, and the number of patches left when ties are dropped. atypical: the share
    of patches that each expert called atypical. votes_for: patches by the number of votes for atypical.
    """

    patches: int
    experts: int
    fleiss: float
    unanimous: float
    cohen: dict[tuple[int, int], float]
    against_others: tuple[tuple[float, int], ...]
    atypical: tuple[float, ...]
    votes_for: tuple[int, ...]


def agreement(expert_votes: Sequence[str]) -> Agreement | None:
    """The agreement over the patches that have votes; None where there are none or one expert."""
    import numpy as np

    said = [votes for votes in expert_votes if votes]
    experts = max((len(votes) for votes in said), default=0)
    if experts < 2:
        return None
    signs = {"A": 1.0, "N": 0.0}
    vote_NE = np.array([[signs.get(sign, math.nan) for sign in votes.ljust(experts, "-")] for votes in said])
    whole_NE = vote_NE[~np.isnan(vote_NE).any(axis=1)]
    count_N = whole_NE.sum(axis=1)
    return Agreement(
        patches=len(whole_NE),
        experts=experts,
        fleiss=fleiss_kappa(count_N, experts),
        unanimous=float(np.mean((count_N == 0) | (count_N == experts))) if len(whole_NE) else math.nan,
        cohen={(a + 1, b + 1): cohen_kappa(vote_NE[:, a], vote_NE[:, b]) for a, b in combinations(range(experts), 2)},
        against_others=tuple(against_others(vote_NE, expert) for expert in range(experts)),
        atypical=tuple(_mean(vote_NE[:, expert]) for expert in range(experts)),
        votes_for=tuple(int((count_N == k).sum()) for k in range(experts + 1)),
    )


def cohen_kappa(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """κ = (p_o − p_e) / (1 − p_e) of two experts' 0/1 votes, on the patches where neither is nan (Cohen 1960)."""
    import numpy as np

    both = ~np.isnan(a_N) & ~np.isnan(b_N)
    a, b = a_N[both], b_N[both]
    if not len(a):
        return math.nan
    observed = float(np.mean(a == b))
    expected = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return (observed - expected) / (1 - expected) if expected < 1 else math.nan


def fleiss_kappa(count_N: np.ndarray, experts: int) -> float:
    """κ = (P̄ − P̄_e) / (1 − P̄_e) for n experts and two classes, `count_N` votes for atypical per patch (Fleiss 1971):

    P_i = (c_i (c_i − 1) + (n − c_i)(n − c_i − 1)) / (n (n − 1)),  P̄_e = p² + (1 − p)²,  p = Σ c_i / (N n).
    """
    if not len(count_N) or experts < 2:
        return math.nan
    against = experts - count_N
    observed = float(((count_N * (count_N - 1) + against * (against - 1)) / (experts * (experts - 1))).mean())
    share = float(count_N.mean()) / experts
    expected = share**2 + (1 - share) ** 2
    return (observed - expected) / (1 - expected) if expected < 1 else math.nan


def against_others(vote_NE: np.ndarray, expert: int) -> tuple[float, int]:
    """One expert's balanced accuracy against the majority of the others, and the patches it is of.

    Patches where the others tie, or where the expert or all others are silent, are dropped: this flatters people a little.
    """
    import numpy as np

    others = np.delete(vote_NE, expert, axis=1)
    lean = np.nansum(np.where(np.isnan(others), 0.0, 2 * others - 1), axis=1)
    judged = (lean != 0) & ~np.isnan(vote_NE[:, expert])
    truth, said = lean[judged] > 0, vote_NE[judged, expert] == 1
    if not truth.any() or truth.all():
        return math.nan, int(judged.sum())
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2), int(judged.sum())


def _mean(votes: np.ndarray) -> float:
    import numpy as np

    given = votes[~np.isnan(votes)]
    return float(given.mean()) if len(given) else math.nan
