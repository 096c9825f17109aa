"""The logistic stack: weights of several sources, fitted on out-of-fold rows and stored as plain coefficients."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores.calibrate import log_loss, sigmoid
from mitotype.scores.ensemble import Combiner, by_member, by_source, mean_logit
from mitotype.scores.table import Scores

L2_GRID = (10.0, 1.0, 0.1, 0.01, 0.001)  # strength of the penalty towards equal weights, strongest first


def fit(
    scores: Scores, *, target: np.ndarray | None = None, folds: int = 5, seed: int = 0
) -> tuple[Combiner, pd.DataFrame]:
    """Fit a logistic stack on out-of-fold rows: one weight per source and an intercept.

        minimise   log loss(b + Σ w_s z_s)  +  λ/2 · Σ (w_s - w̄)²

    The penalty is towards equal weights, so that a large λ is the calibrated plain mean. λ comes from `L2_GRID` by
    cross-validation over cases: the largest whose loss is within one standard error (of its difference, over folds) of
    the best. `target` (0..1, in the order of `mean_logit(scores)`) defaults to the labels; unlabelled rows are left out.

    Returns the ensemble and its cross-fitted rows: patch_id, part, logit, each case by weights fitted on other cases.
    Raises M002 for rows that are not out-of-fold and a UserError for fewer than two sources.
    """
    rows = scores.joined(mean_logit(scores))
    if (rows["part"] != OUT_OF_FOLD).any():
        raise UserError("A stack cannot be fitted on test rows.", code="M002", fix="fit it on part 'out-of-fold'")
    wide, _ = by_member(scores.scores, "mean_logit")
    wide = wide.reindex(list(zip(rows["patch_id"], rows["part"], strict=True)))
    z, sources = by_source(wide.to_numpy(float), [str(m) for m in wide.columns])
    if len(sources) < 2 or not np.isfinite(z).all():
        raise UserError(
            f"A stack needs two or more sources that scored every out-of-fold patch; the scores have {', '.join(sources)}.",
            fix="name the members <source>/<member>, as 'uni2-h/fold3'",
        )
    y = rows["label"].to_numpy(float) if target is None else np.asarray(target, float)
    labelled = np.isfinite(y)
    rows, z, y = rows[labelled].reset_index(drop=True), z[labelled], y[labelled]
    if not len(y) or y.min() == y.max():
        raise UserError("A stack cannot be fitted on rows of one class.", fix="fit it on both classes")
    fold = case_folds(rows["case_id"].to_numpy(), y >= 0.5, folds=folds, seed=seed)
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
    combiner = Combiner("weighted", weights=dict(zip(sources, map(float, weights), strict=True)), intercept=intercept)
    return combiner, rows[["patch_id", "part"]].assign(logit=cross_fitted[selected])


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
