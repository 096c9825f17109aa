"""Logistic regression on soft targets."""

from __future__ import annotations

import numpy as np


def fit_logistic(
    x_ND: np.ndarray,
    positive_N: np.ndarray,
    negative_N: np.ndarray,
    *,
    C: float,
    solver: str = "lbfgs",
    tol: float = 1e-4,
) -> tuple[np.ndarray, float]:
    """Return `(coef_D, intercept)` of an L2-regularised logistic regression; C, solver and tol as in scikit-learn.

    Row n is a positive example of weight `positive_N[n]` and a negative one of weight `negative_N[n]`: a soft target t of
    weight w is (w t, w (1 - t)).
    """
    from sklearn.linear_model import LogisticRegression  # not at the top: classify imports this file and needs no fit

    weight_2N = np.concatenate([positive_N, negative_N])
    used = weight_2N > 0
    label_2N = np.repeat([1, 0], len(x_ND))
    model = LogisticRegression(C=C, solver=solver, tol=tol, max_iter=5000)
    model.fit(np.concatenate([x_ND, x_ND])[used], label_2N[used], sample_weight=weight_2N[used])
    return model.coef_[0], float(model.intercept_[0])
