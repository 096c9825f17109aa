"""Curves with bands over cases: ROC and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.evaluation.interval import MIN_REPLICATES
from mitotype.evaluation.metrics import ECE_BINS, ece_bin
from mitotype.evaluation.resample import Bootstrap

BAND_REPLICATES = 400
GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Roc:
    """False and true positive rates of the steps, and the band of the true positive rate on `GRID` (nan without one)."""

    fpr: np.ndarray
    tpr: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc_curve(label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, *, level: float = 0.95) -> Roc:
    """Return the ROC curve of labels of both classes. The band is pointwise, from the first 400 replicates of both classes."""
    order = np.argsort(-probability, kind="stable")
    y, score = label[order] == 1, probability[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    first = Bootstrap(bootstrap.weight_DC[:BAND_REPLICATES], bootstrap.code_N[order])
    curves = []
    for weight_DN in first.row_weights():
        hits = np.cumsum(weight_DN * y, axis=1)[:, ends]
        misses = np.cumsum(weight_DN * ~y, axis=1)[:, ends]
        for hit, miss in zip(hits, misses, strict=True):
            if hit[-1] > 0 and miss[-1] > 0:
                x = np.append(0, miss / miss[-1])
                curves.append(np.interp(GRID, x + 1e-9 * np.arange(len(x)), np.append(0, hit / hit[-1])))
    nan = np.full(len(GRID), np.nan)
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0) if len(curves) > 50 else (nan, nan)
    tpr, fpr = np.cumsum(y)[ends] / y.sum(), np.cumsum(~y)[ends] / (~y).sum()
    return Roc(np.append(0, fpr), np.append(0, tpr), low, high)


@dataclass(frozen=True)
class Reliability:
    """Per non-empty bin of P(atypical): the mean probability, the share that is atypical, and its bounds."""

    mean: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability_curve(
    label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap, *, level: float = 0.95
) -> Reliability:
    """Return the calibration curve over the ten bins of the ECE. Bounds are nan for a bin with patches of one case."""
    bins = ece_bin(probability)
    cases = bootstrap.weight_DC.shape[1]
    points = []
    for index in range(ECE_BINS):
        mask = bins == index
        if not mask.any():
            continue
        code = bootstrap.code_N[mask]
        total = bootstrap.weight_DC @ np.bincount(code, minlength=cases)
        hits = bootstrap.weight_DC @ np.bincount(code, weights=label[mask], minlength=cases)
        defined = total > 0
        low, high = np.nan, np.nan
        if len(np.unique(code)) > 1 and defined.sum() >= MIN_REPLICATES:
            low, high = np.quantile(hits[defined] / total[defined], [(1 - level) / 2, (1 + level) / 2])
        points.append((probability[mask].mean(), label[mask].mean(), low, high))
    return Reliability(*np.array(points).T)
