"""Model and experts on one scale: each against the same majority of the other experts, ties left out."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from mitotype.core.expert_votes import majority_of_others
from mitotype.core.rates import or_none
from mitotype.core.run_layout.evaluation import Experts, ExpertScore, Interval
from mitotype.evaluation.interval import t_interval
from mitotype.evaluation.metrics import Number, bootstrap_metrics, compute
from mitotype.evaluation.resample import Bootstrap

BA = "balanced_accuracy"


def compare_with_experts(
    vote_NE: np.ndarray, predicted: np.ndarray, bootstrap: Bootstrap, *, level: float = 0.95
) -> Experts | None:
    """Return experts and model (`predicted`, 0 or 1) on one scale; None for fewer than three experts.

    With fewer than three there is no majority of others.
    """
    if vote_NE.shape[1] < 3:
        return None
    each = []
    for expert in range(vote_NE.shape[1]):
        reference, vote = majority_of_others(vote_NE, expert), vote_NE[:, expert]
        has_voted, is_tie = ~np.isnan(vote), np.isnan(reference)
        mask = has_voted & ~is_tie
        if not mask.any():
            continue
        scores = [
            _interval(reference[mask], values[mask], bootstrap.take(mask), level)
            for values in (vote, predicted.astype(float))
        ]
        n_ties, n_absent = int((has_voted & is_tie).sum()), int((~has_voted).sum())
        each.append(ExpertScore(expert + 1, int(mask.sum()), n_ties, n_absent, *scores))
    if not each:
        return None
    pairs = [pair_balanced_accuracy(vote_NE[:, i], vote_NE[:, j]) for i, j in permutations(range(vote_NE.shape[1]), 2)]
    defined = [pair.value for pair in pairs if not pair.reason]
    human = float(np.array([score.human.value for score in each], float).mean())
    model = float(np.array([score.model.value for score in each], float).mean())
    n_voted = int((~np.isnan(vote_NE)).any(axis=1).sum())
    return Experts(each, float(np.mean(defined)) if defined else None, or_none(human), or_none(model), n_voted)


def pair_balanced_accuracy(vote_N: np.ndarray, reference_N: np.ndarray) -> Number:
    """Return the balanced accuracy of one expert with another's votes as truth, where both have voted."""
    both = ~np.isnan(vote_N) & ~np.isnan(reference_N)
    return compute(BA, reference_N[both], vote_N[both], vote_N[both])


def _interval(reference: np.ndarray, values: np.ndarray, bootstrap: Bootstrap, level: float) -> Interval:
    replicates = bootstrap_metrics([BA], reference, values, values, bootstrap)[BA]
    return t_interval(compute(BA, reference, values, values), replicates, bootstrap, level=level)
