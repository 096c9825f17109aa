"""Agreement of experts: Cohen's and Fleiss' κ, unanimity, and each expert against the majority of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mitotype.core.expert_votes import majority_of_others, parse_votes
from mitotype.core.rates import balanced_accuracy


@dataclass(frozen=True)
class Agreement:
    """Agreement of experts on a set of patches; undefined numbers are nan.

    Parameters
    ----------
    patches : number of patches with every expert's vote, on which `fleiss`, `unanimous` and `votes_for` are computed
    cohen : κ of each pair of experts (numbered from 1) on the patches with votes of both
    against_others : per expert the balanced accuracy against the majority of the others, and the number of patches
        without a tie
    atypical : per expert the share of atypical votes
    votes_for : number of patches by the number of atypical votes
    """

    patches: int
    experts: int
    fleiss: float
    unanimous: float
    cohen: dict[tuple[int, int], float]
    against_others: tuple[tuple[float, int], ...]
    atypical: tuple[float, ...]
    votes_for: tuple[int, ...]

    def __str__(self) -> str:
        pairs = ", ".join(f"{a}–{b} {kappa:.3f}" for (a, b), kappa in self.cohen.items())
        others = ", ".join(f"E{k} {accuracy:.3f}" for k, (accuracy, _) in enumerate(self.against_others, start=1))
        return (
            f"{self.experts} experts on {self.patches} patches, Fleiss κ {self.fleiss:.3f}, unanimous {self.unanimous:.1%}; "
            f"Cohen κ {pairs}; balanced accuracy against the majority of the others (ties dropped) {others}"
        )


def agreement(expert_votes: Sequence[str]) -> Agreement | None:
    """Return the agreement on the patches with votes such as "NA-" (see `parse_votes`); None for fewer than two experts."""
    vote_NE = parse_votes([votes for votes in expert_votes if votes])
    experts = vote_NE.shape[1]
    if experts < 2:
        return None
    complete_NE = vote_NE[~np.isnan(vote_NE).any(axis=1)]
    count_N = complete_NE.sum(axis=1)
    return Agreement(
        patches=len(complete_NE),
        experts=experts,
        fleiss=fleiss_kappa(count_N, experts),
        unanimous=_mean((count_N == 0) | (count_N == experts)),
        cohen={(a + 1, b + 1): cohen_kappa(vote_NE[:, a], vote_NE[:, b]) for a, b in combinations(range(experts), 2)},
        against_others=tuple(against_others(vote_NE, expert) for expert in range(experts)),
        atypical=tuple(_mean(vote_N[~np.isnan(vote_N)]) for vote_N in vote_NE.T),
        votes_for=tuple(int((count_N == k).sum()) for k in range(experts + 1)),
    )


def cohen_kappa(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """Return κ = (p_o − p_e) / (1 − p_e) of two experts' 0/1 votes on the rows where neither is nan (Cohen 1960)."""
    voted = ~np.isnan(a_N) & ~np.isnan(b_N)
    a, b = a_N[voted], b_N[voted]
    if not len(a):
        return math.nan
    observed = float(np.mean(a == b))
    expected = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return (observed - expected) / (1 - expected) if expected < 1 else math.nan


def fleiss_kappa(count_N: np.ndarray, experts: int) -> float:
    """Return κ = (P̄ − P̄_e) / (1 − P̄_e) for n experts and two classes, with c_i atypical votes per patch (Fleiss 1971):

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
    """Return an expert's balanced accuracy against the majority of the others, and the number of patches it is based on.

    Patches with a tie of the others, or without a vote of the expert or of any other, are dropped, which is slightly
    optimistic.
    """
    majority_N, vote_N = majority_of_others(vote_NE, expert), vote_NE[:, expert]
    valid = ~np.isnan(majority_N) & ~np.isnan(vote_N)
    return balanced_accuracy(majority_N[valid], vote_N[valid]), int(valid.sum())


def _mean(value_N: np.ndarray) -> float:
    return float(value_N.mean()) if len(value_N) else math.nan
