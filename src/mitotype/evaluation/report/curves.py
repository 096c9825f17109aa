"""Curves with bands over cases: ROC and calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mitotype.core.rates import divide
from mitotype.evaluation.interval import t_interval
from mitotype.evaluation.metrics import Number
from mitotype.evaluation.metrics.probability import ece_bin
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
    """Return the ROC curve of labels of both classes. The band is pointwise: see `interval.spread`."""
    order = np.argsort(-probability, kind="stable")
    y, score = label[order] == 1, probability[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    n_boot = min(BAND_REPLICATES, bootstrap.n_boot)
    weight_DC = np.concatenate([bootstrap.weight_DC[:n_boot], bootstrap.weight_DC[bootstrap.n_boot :]])
    chosen = replace(bootstrap.take(order), weight_DC=weight_DC, n_boot=n_boot)
    curves = np.full((len(weight_DC), len(GRID)), np.nan)
    weights = (weight_N for weight_DN in chosen.row_weights() for weight_N in weight_DN)
    for curve, weight_N in zip(curves, weights, strict=True):
        hits, misses = np.cumsum(weight_N * y)[ends], np.cumsum(weight_N * ~y)[ends]
        if hits[-1] > 0 and misses[-1] > 0:
            curve[:] = _on_grid(misses / misses[-1], hits / hits[-1])
    tpr, fpr = np.cumsum(y)[ends] / y.sum(), np.cumsum(~y)[ends] / (~y).sum()
    points = zip(_on_grid(fpr, tpr), curves.T, strict=True)
    band = [t_interval(Number(float(value)), replicate_D, chosen, level=level) for value, replicate_D in points]
    low, high = (np.array([getattr(point, end) for point in band], float) for end in ("low", "high"))
    return Roc(np.append(0, fpr), np.append(0, tpr), low, high)


def _on_grid(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    x = np.append(0, fpr)
    return np.interp(GRID, x + 1e-9 * np.arange(len(x)), np.append(0, tpr))


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
    """Return the calibration curve over the ten bins of the ECE. Bounds are nan for a bin of fewer than five cases."""
    bins = ece_bin(probability)
    cases = bootstrap.weight_DC.shape[1]
    points = []
    for index in np.unique(bins):
        mask = bins == index
        code = bootstrap.code_N[mask]
        total = bootstrap.weight_DC @ np.bincount(code, minlength=cases)
        hits = bootstrap.weight_DC @ np.bincount(code, weights=label[mask], minlength=cases)
        share = float(label[mask].mean())
        bounds = t_interval(Number(share), divide(hits, total), bootstrap.take(mask), level=level)
        points.append((probability[mask].mean(), share, bounds.low, bounds.high))
    return Reliability(*np.array(points, float).T)
