"""The logistic stack: weights of several sources, fitted on out-of-fold rows and stored as plain coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotype.core.mistakes import Mistake
from mitotype.core.words import OUT_OF_FOLD
from mitotype.scores.calibrate import log_loss, sigmoid
from mitotype.scores.ensemble import Combine, by_member, by_source, mean_logit
from mitotype.scores.folds import case_folds

if TYPE_CHECKING:
    import pandas as pd

    from mitotype.scores.table import Scores

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)  # of the pull towards equal weights, strongest first


def fit(
    scores: Scores, *, target: np.ndarray | None = None, folds: int = 5, seed: int = 0
) -> tuple[Combine, pd.DataFrame]:
    """Fit a logistic stack on out-of-fold rows: one weight per source and an intercept.

        minimise   log loss(b + Σ w_s z_s)  +  λ/2 · Σ (w_s - w̄)²

    The pull is towards equal weights, so that a strong λ is the calibrated plain mean. λ comes from `STRENGTHS` by
    cross-validation over cases: the strongest whose loss is within one standard error (of its difference, over folds) of
    the best. `target` (0..1, in the order of `mean_logit(scores)`) defaults to the labels; unlabelled rows are left out.

    Returns the ensemble and its cross-fitted rows: patch_id, part, logit, each case by weights that other cases gave.
    Raises M002 for rows that are not out-of-fold and a Mistake for fewer than two sources.
    """
    rows = scores.joined(mean_logit(scores))
    if (rows["part"] != OUT_OF_FOLD).any():
        raise Mistake("A stack was to be fitted on test rows.", code="M002", fix="fit it on part 'out-of-fold'")
    wide, _ = by_member(scores.scores, "mean_logit")
    wide = wide.reindex(list(zip(rows["patch_id"], rows["part"], strict=True)))
    z, sources = by_source(wide.to_numpy(float), [str(m) for m in wide.columns])
    if len(sources) < 2 or not np.isfinite(z).all():
        raise Mistake(
            f"A stack needs two sources or more that scored every out-of-fold patch; found {', '.join(sources)}.",
            fix="name the members <source>/<member>, as 'uni2-h/fold3'",
        )
    y = rows["label"].to_numpy(float) if target is None else np.asarray(target, float)
    known = np.isfinite(y)
    rows, z, y = rows[known].reset_index(drop=True), z[known], y[known]
    if not len(y) or y.min() == y.max():
        raise Mistake("A stack cannot be fitted on rows of one class.", fix="fit it on both classes")
    fold = case_folds(rows["case_id"].to_numpy(), y >= 0.5, folds=folds, seed=seed)
    losses = np.zeros((len(STRENGTHS), int(fold.max()) + 1))
    crossed = np.zeros((len(STRENGTHS), len(y)))
    for i, strength in enumerate(STRENGTHS):
        for k in range(losses.shape[1]):
            weights, intercept = _stacked(z[fold != k], y[fold != k], strength)
            crossed[i, fold == k] = z[fold == k] @ weights + intercept
            losses[i, k] = log_loss(crossed[i, fold == k], y[fold == k])
    best = int(losses.mean(1).argmin())
    worse = losses - losses[best]  # fold by fold: folds differ more than strengths do
    error = worse.std(axis=1, ddof=1) / np.sqrt(losses.shape[1]) if losses.shape[1] > 1 else np.zeros(len(losses))
    pick = int(np.flatnonzero(worse.mean(1) <= error)[0])
    weights, intercept = _stacked(z, y, STRENGTHS[pick])
    combine = Combine("weighted", weights=tuple(zip(sources, map(float, weights), strict=True)), intercept=intercept)
    return combine, rows[["patch_id", "part"]].assign(logit=crossed[pick])


def _stacked(z: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        weights, q = x[:-1], z @ x[:-1] + x[-1]
        wrong = (sigmoid(q) - y) / len(y)
        apart = weights - weights.mean()
        ridge = 1e-6 * x  # keeps the minimum finite where the classes are separable
        value = log_loss(q, y) + strength / 2 * float(apart @ apart) + 0.5 * float(ridge @ x)
        return value, np.append(z.T @ wrong + strength * apart, wrong.sum()) + ridge

    start = np.append(np.full(z.shape[1], 1 / z.shape[1]), 0.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-9}).x
    return found[:-1], float(found[-1])
