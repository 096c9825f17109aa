"""Quality of the ranking by the score, at no threshold: AUROC and AUPRC."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mitotype.core.rates import divide
from mitotype.evaluation.metrics.metric import BOTH, GROUP, MEMBERS, SET, Array, Metric, Resampled, metrics
from mitotype.evaluation.resample import Bootstrap


@metrics.add("auroc")
class Auroc(Metric):
    """Share of atypical–normal pairs in the right order, ties half.

    Weighted pairs are whole numbers, so that the result is the exact fraction, rounded once.
    """

    title, head, order = "AUROC", "AUROC", 5
    reads, larger_is_better, scale = "score", True, "unit"
    requires = BOTH
    tables = (SET, MEMBERS, GROUP)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        y = label == 1
        order = np.argsort(score[~y], kind="stable")
        below = np.append(0.0, np.cumsum(weight[~y][order]))
        left, right = (np.searchsorted(score[~y][order], score[y], side) for side in ("left", "right"))
        wins = (weight[y] * (below[left] + below[right])).sum()
        return float(wins / (2 * weight[y].sum() * weight[~y].sum()))

    def replicates(self, rows: Resampled) -> Array:
        """Return the AUROC of every replicate, through the pairs won between cases.

        With won_CC[c, d] the atypical–normal pairs of an atypical patch in case c and a normal one in case d that are in the
        right order (ties half), and w a replicate's weights: AUROC = wᵀ · won · w / (Σ w · atypical · Σ w · normal).
        """
        score, bootstrap = rows.score, rows.bootstrap
        cases = bootstrap.weight_DC.shape[1]
        present, code = np.unique(bootstrap.code_N, return_inverse=True)  # the cases of these rows
        weight_DC = bootstrap.weight_DC[:, present] if len(present) < cases else bootstrap.weight_DC
        y = rows.label == 1
        if len(present) ** 2 > 100 * len(y):  # many small cases: one pass over the sorted rows is cheaper
            return auroc_by_rows(y, score, replace(bootstrap, weight_DC=weight_DC, code_N=code))
        positives, negatives = (np.bincount(code[k], minlength=len(present)) for k in (y, ~y))
        order = np.argsort(score[~y], kind="stable")
        below_NC = np.zeros((len(order) + 1, len(present)))
        below_NC[np.arange(1, len(order) + 1), code[~y][order]] = 1
        below_NC = np.cumsum(below_NC, axis=0)
        ranked = score[~y][order]
        left, right = (np.searchsorted(ranked, score[y], side) for side in ("left", "right"))
        won_CC = np.zeros((len(present), len(present)))
        np.add.at(won_CC, code[y], (below_NC[left] + below_NC[right]) / 2)
        wins = ((weight_DC @ won_CC) * weight_DC).sum(axis=1)
        return divide(wins, (weight_DC @ positives) * (weight_DC @ negatives))


def auroc_by_rows(y: Array, score: Array, bootstrap: Bootstrap) -> Array:
    """Return the same from sorted rows: each normal patch loses to the atypical weight above it."""
    order = np.argsort(-score, kind="stable")
    first, last = _ties(score[order])
    values = []
    for weight_DN in bootstrap.take(order).row_weights():
        hits = np.cumsum(weight_DN * y[order], axis=1, dtype=np.float64)
        above = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)
        negative = weight_DN * ~y[order]
        wins = (negative * (above[:, first] + hits[:, last]) / 2).sum(axis=1, dtype=np.float64)
        values.append(divide(wins, hits[:, -1] * negative.sum(axis=1, dtype=np.float64)))
    return np.concatenate(values)


@metrics.add("auprc")
class Auprc(Metric):
    """Average precision; chance is the prevalence.

    Σ (R_k - R_{k-1}) · P_k over the distinct scores from the highest down.
    """

    title, head, order = "AUPRC", "AUPRC", 6
    reads, larger_is_better, scale = "score", True, "unit"
    requires = BOTH
    tables = (SET,)

    def value(self, label: Array, predicted: Array, probability: Array, score: Array, weight: Array) -> float:
        order = np.argsort(-score, kind="stable")
        hits, last = np.cumsum(weight[order] * (label[order] == 1)), np.append(np.diff(score[order]) != 0, True)
        precision = (hits / np.cumsum(weight[order]))[last]
        return float(np.diff(np.append(0, hits[last])) @ precision / hits[-1])

    def replicates(self, rows: Resampled) -> Array:
        """Return the average precision of every replicate from one sort; rows with one score count together."""
        order = np.argsort(-rows.score, kind="stable")
        y = rows.label[order] == 1
        last = _ties(rows.score[order])[1]
        values = []
        for weight_DN in rows.bootstrap.take(order).row_weights():
            positive = weight_DN * y
            hits, passed = np.cumsum(positive, axis=1), np.cumsum(weight_DN, axis=1)
            precision = np.divide(hits, passed, out=np.zeros_like(hits), where=passed > 0)
            if last[-1] != 0 and (np.diff(last) == 0).any():
                precision = precision[:, last]
            total = hits[:, -1].astype(float)
            average = divide(np.einsum("dn,dn->d", positive, precision, dtype=np.float64), total)
            values.append(np.where(passed[:, -1] > total, average, math.nan))
        return np.concatenate(values)


def _ties(score: Array) -> tuple[Array, Array]:
    """Return for each row of sorted scores the first and the last row with the same score."""
    is_first = np.append(True, np.diff(score) != 0)
    group = np.cumsum(is_first) - 1
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(score)) - 1
    return starts[group], ends[group]
