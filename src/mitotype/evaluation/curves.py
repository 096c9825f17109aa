"""Curves with bands over cases: ROC and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.evaluation.metrics import ECE_BINS, ece_bin
from mitotype.evaluation.resample import Draws

BAND_DRAWS = 400
GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Roc:
    """False and true positive rates of the steps, and the band of the true positive rate on `GRID` (nan without one)."""

    fpr: np.ndarray
    tpr: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc(label: np.ndarray, probability: np.ndarray, draws: Draws, *, level: float = 0.95) -> Roc:
    """The ROC curve; both classes must be there. The band is pointwise, over the first 400 draws that have both classes."""
    order = np.argsort(-probability, kind="stable")
    y, score = label[order] == 1, probability[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    seen = Draws(draws.weight_DC[:BAND_DRAWS], draws.code_N[order])
    drawn = []
    for weight_DN in seen.weights():
        hits = np.cumsum(weight_DN * y, axis=1)[:, ends]
        misses = np.cumsum(weight_DN * ~y, axis=1)[:, ends]
        for hit, miss in zip(hits, misses, strict=True):
            if hit[-1] > 0 and miss[-1] > 0:
                x = np.append(0, miss / miss[-1])
                drawn.append(np.interp(GRID, x + 1e-9 * np.arange(len(x)), np.append(0, hit / hit[-1])))
    empty = np.full(len(GRID), np.nan)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0) if len(drawn) > 50 else (empty, empty)
    tpr, fpr = np.cumsum(y)[ends] / y.sum(), np.cumsum(~y)[ends] / (~y).sum()
    return Roc(np.append(0, fpr), np.append(0, tpr), low, high)


@dataclass(frozen=True)
class Reliability:
    """Per filled bin of P(atypical): how many, their mean probability, the share that is atypical, and its bounds."""

    count: np.ndarray
    mean: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability(label: np.ndarray, probability: np.ndarray, draws: Draws, *, level: float = 0.95) -> Reliability:
    """The calibration curve over the ten bins that the ECE uses. Bounds are nan where a bin's patches are of one case."""
    bins = ece_bin(probability)
    filled = [b for b in range(ECE_BINS) if (bins == b).any()]
    count, mean, share, low, high = (np.zeros(len(filled)) for _ in range(5))
    cases = draws.weight_DC.shape[1]
    for i, b in enumerate(filled):
        mine = bins == b
        count[i], mean[i], share[i] = mine.sum(), probability[mine].mean(), label[mine].mean()
        code = draws.code_N[mine]
        total = draws.weight_DC @ np.bincount(code, minlength=cases)
        hits = draws.weight_DC @ np.bincount(code, weights=label[mine], minlength=cases)
        good = total > 0
        enough = len(np.unique(code)) > 1 and good.sum() >= 100
        edges = (
            np.quantile(hits[good] / total[good], [(1 - level) / 2, (1 + level) / 2]) if enough else (np.nan, np.nan)
        )
        low[i], high[i] = edges
    return Reliability(count, mean, share, low, high)
