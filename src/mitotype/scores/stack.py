"""The logistic stack: weights of several sources, fitted on out-of-fold rows and stored as plain coefficients."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.scores.calibrate import log_loss, sigmoid
from mitotype.scores.ensemble import Combiner
from mitotype.scores.sources import source_rows, weighted
from mitotype.scores.table import Scores

L2_GRID = (10.0, 1.0, 0.1, 0.01, 0.001)  # strength of the penalty towards equal weights, strongest first


def fit(
    scores: Scores, *, target: np.ndarray | None = None, folds: int = 5, seed: int = 0
) -> tuple[Combiner, pd.DataFrame]:
    """Fit a logistic stack on out-of-fold rows: one weight per source and an intercept, see `fit_sources`.

    `target` (0..1, in the order of `mean_logit(scores)`) defaults to the labels; unlabelled rows are left out.

    Returns the ensemble and its cross-fitted rows: patch_id, part, logit, each case by weights fitted on other cases.
    Raises M002 for rows that are not out-of-fold and a UserError for fewer than two sources.
    """
    rows = source_rows(scores, target)
    if len(rows.sources) < 2:
        raise UserError(
            f"A stack needs two or more sources that scored every out-of-fold patch; the scores have {', '.join(rows.sources)}.",
            fix="name the members <source>/<member>, as 'uni2-h/fold3'",
        )
    weight_S, intercept, logit_N = fit_sources(rows.logit_NS, rows.label_N, rows.case_N, folds=folds, seed=seed)
    combiner = weighted(rows.sources, weight_S, intercept)
    return combiner, rows.rows[["patch_id", "part"]].assign(logit=logit_N)


def fit_sources(
    logit_NS: np.ndarray, label_N: np.ndarray, case_N: np.ndarray, *, folds: int = 5, seed: int = 0
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the weights, the intercept, and the cross-fitted logits of the rows.

        minimise   log loss(b + Σ w_s z_s)  +  λ/2 · Σ (w_s - w̄)²

    The penalty is towards equal weights, so that a large λ is the calibrated plain mean. λ comes from `L2_GRID` by
    cross-validation over cases: the largest whose loss is within one standard error (of its difference, over folds) of
    the best.
    """
    z, y = logit_NS, label_N
    fold = case_folds(case_N, y >= 0.5, folds=folds, seed=seed)
    losses = np.zeros((len(L2_GRID), int(fold.max()) + 1))
    cross_fitted = np.zeros((len(L2_GRID), len(y)))
    for i, l2 in enumerate(L2_GRID):
        for k in range(losses.shape[1]):
            weights, intercept = fit_weights(z[fold != k], y[fold != k], l2)
            cross_fitted[i, fold == k] = z[fold == k] @ weights + intercept
            losses[i, k] = log_loss(cross_fitted[i, fold == k], y[fold == k])
    best = int(losses.mean(1).argmin())
    excess = losses - losses[best]  # fold by fold: folds differ more than penalties do
    error = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1]) if losses.shape[1] > 1 else np.zeros(len(losses))
    selected = int(np.flatnonzero(excess.mean(1) <= error)[0])
    weights, intercept = fit_weights(z, y, L2_GRID[selected])
    return weights, intercept, cross_fitted[selected]


def fit_weights(z: np.ndarray, y: np.ndarray, l2: float) -> tuple[np.ndarray, float]:
    """Return the weights and the intercept for one strength of the penalty."""

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        weights, q = x[:-1], z @ x[:-1] + x[-1]
        residual = (sigmoid(q) - y) / len(y)
        deviation = weights - weights.mean()
        ridge = 1e-6 * x  # a finite minimum for separable classes
        value = log_loss(q, y) + l2 / 2 * float(deviation @ deviation) + 0.5 * float(ridge @ x)
        return value, np.append(z.T @ residual + l2 * deviation, residual.sum()) + ridge

    x0 = np.append(np.full(z.shape[1], 1 / z.shape[1]), 0.0)
    x = minimize(loss, x0, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-9}).x
    return x[:-1], float(x[-1])
