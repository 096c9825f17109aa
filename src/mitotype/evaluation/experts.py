"""Model and experts on one scale: each against the same majority of the other experts, ties dropped."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.evaluation.interval import Interval, bounded
from mitotype.evaluation.metrics import Number, balanced_accuracy
from mitotype.evaluation.resample import Draws, metric_draws

if TYPE_CHECKING:
    import pandas as pd

SIGNS = {"A": 1.0, "N": 0.0}  # anything else: this expert has not voted
BA = "balanced_accuracy"


@dataclass(frozen=True)
class Judged:
    """One expert's place: both are judged on the same `patches` against the same majority of the others.

    `ties` patches were dropped because the others stood even, `absent` because this expert has not voted.
    """

    expert: int
    patches: int
    ties: int
    absent: int
    people: Interval
    model: Interval


@dataclass(frozen=True)
class Experts:
    """The band of people: from the mean over ordered pairs (one expert against one other) to the mean against majorities.

    Dropping ties flatters people and model alike; pairs are harsher than majorities. The plausible place of a person lies
    between the two means. Neither is on the scale of a balanced accuracy against the full majority, in which each expert's
    own vote counts.
    """

    each: tuple[Judged, ...]
    band_low: float
    band_high: float
    model_mean: float
    patches: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def votes(expert_votes: pd.Series) -> np.ndarray:
    """N × E votes from strings such as "NA-": 1 atypical, 0 normal, nan not voted. Rows without votes are nan throughout."""
    texts = [v.lstrip("'") if isinstance(v, str) else "" for v in expert_votes]
    width = max((len(t) for t in texts), default=0)
    return np.array(
        [[SIGNS.get(t[k], math.nan) if k < len(t) else math.nan for k in range(width)] for t in texts]
    ).reshape(len(texts), width)


def majority_of_others(vote_NE: np.ndarray, expert: int) -> np.ndarray:
    """The majority of all experts but one: 1, 0, or nan where they stand even or none has voted."""
    others = np.delete(vote_NE, expert, axis=1)
    balance = np.nansum(others, axis=1) - np.nansum(1 - others, axis=1)
    return np.where(balance > 0, 1.0, np.where(balance < 0, 0.0, math.nan))


def judge(vote_NE: np.ndarray, predicted: np.ndarray, draws: Draws, *, level: float = 0.95) -> Experts | None:
    """Experts and model (`predicted`, 0 or 1) on one scale; None where fewer than three experts have voted.

    With fewer than three there is no majority of others to speak of.
    """
    if vote_NE.shape[1] < 3:
        return None
    each = []
    for expert in range(vote_NE.shape[1]):
        reference, own = majority_of_others(vote_NE, expert), vote_NE[:, expert]
        there = ~np.isnan(own)
        keep = there & ~np.isnan(reference)
        if not keep.any():
            continue
        seen = draws.take(keep)
        scored = [_interval(reference[keep], given[keep], seen, level) for given in (own, predicted.astype(float))]
        each.append(
            Judged(expert + 1, int(keep.sum()), int((there & np.isnan(reference)).sum()), int((~there).sum()), *scored)
        )
    if not each:
        return None
    pairs = [pair_balanced_accuracy(vote_NE[:, i], vote_NE[:, j]) for i, j in permutations(range(vote_NE.shape[1]), 2)]
    defined = [p.value for p in pairs if not p.reason]
    return Experts(
        tuple(each),
        float(np.mean(defined)) if defined else math.nan,
        float(np.mean([j.people.value for j in each])),
        float(np.mean([j.model.value for j in each])),
        int((~np.isnan(vote_NE)).any(axis=1).sum()),
    )


def pair_balanced_accuracy(one: np.ndarray, other: np.ndarray) -> Number:
    """The balanced accuracy of one expert with another's votes for truth, where both have voted."""
    both = ~np.isnan(one) & ~np.isnan(other)
    return balanced_accuracy(other[both], one[both])


def _interval(reference: np.ndarray, given: np.ndarray, draws: Draws, level: float) -> Interval:
    drawn = metric_draws([BA], reference, given, given, draws)[BA]
    return bounded(balanced_accuracy(reference, given), drawn, draws, level=level)
