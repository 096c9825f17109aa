"""Calibration intercept and slope: the logistic regression of labels on the logit of P(atypical) (Cox 1958).

slope       b of  logit P(label = 1) = a + b · logit p     1 for calibrated; below 1: probabilities too extreme
intercept   a of  logit P(label = 1) = a + logit p         0 for calibrated; below 0: P(atypical) too high
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, log_expit, logit

CLIP = 1e-6
MAX_STEPS, MAX_HALVINGS, TOLERANCE = 50, 30, 1e-10


def design(probability: np.ndarray, *, slope: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (x_NK, offset_N): intercept and logit without an offset, or the intercept alone with the logit as offset."""
    value = logit(np.clip(probability, CLIP, 1 - CLIP))
    ones = np.ones_like(value)
    return (np.stack([ones, value], 1), np.zeros_like(value)) if slope else (ones[:, None], value)


def fit(label: np.ndarray, probability: np.ndarray, weight: np.ndarray, *, slope: bool) -> np.ndarray:
    """Return the coefficients, K long, of maximum likelihood; nan where there is no finite maximum, as with separated classes.

    Newton's method, whose step is halved while it lowers the likelihood; it does not converge without a maximum. `weight` is
    how often each row counts.
    """
    x_NK, offset_N = design(probability, slope=slope)
    beta_K = np.array([0.0, 1.0])[: x_NK.shape[1]]
    for _ in range(MAX_STEPS):
        score_NK, information_NKK = _derivatives(label, x_NK, offset_N, beta_K)
        total_KK = (weight[:, None, None] * information_NKK).sum(0)
        if np.linalg.matrix_rank(total_KK) < len(beta_K):
            break
        step_K = np.linalg.solve(total_KK, (weight[:, None] * score_NK).sum(0))
        before = _log_likelihood(label, weight, x_NK, offset_N, beta_K)
        for _ in range(MAX_HALVINGS):
            if _log_likelihood(label, weight, x_NK, offset_N, beta_K + step_K) >= before - TOLERANCE:
                break
            step_K = step_K / 2
        beta_K = beta_K + step_K
        if np.abs(step_K).max() < TOLERANCE * max(1.0, np.abs(beta_K).max()):
            return beta_K
    return np.full_like(beta_K, math.nan)


def replicates(
    label: np.ndarray, probability: np.ndarray, code_N: np.ndarray, weight_DC: np.ndarray, *, slope: bool
) -> np.ndarray:
    """Return the last coefficient in every replicate, D long: one Newton step from the fit to all rows, by sums over cases."""
    beta_K = fit(label, probability, np.ones(len(label)), slope=slope)
    if np.isnan(beta_K).any():
        return np.full(len(weight_DC), math.nan)
    score_NK, information_NKK = _derivatives(label, *design(probability, slope=slope), beta_K)
    cases, k = weight_DC.shape[1], len(beta_K)
    score_CK, information_CKK = np.zeros((cases, k)), np.zeros((cases, k, k))
    np.add.at(score_CK, code_N, score_NK)
    np.add.at(information_CKK, code_N, information_NKK)
    score_DK = weight_DC @ score_CK
    information_DKK = (weight_DC @ information_CKK.reshape(cases, -1)).reshape(-1, k, k)
    regular = np.linalg.det(information_DKK) > 1e-9 * np.linalg.det(information_NKK.sum(0))
    value_D = np.full(len(weight_DC), math.nan)
    value_D[regular] = beta_K[-1] + np.linalg.solve(information_DKK[regular], score_DK[regular][..., None])[:, -1, 0]
    return value_D


def _log_likelihood(
    label: np.ndarray, weight: np.ndarray, x_NK: np.ndarray, offset_N: np.ndarray, beta_K: np.ndarray
) -> float:
    return float(weight @ log_expit((2 * label - 1) * (x_NK @ beta_K + offset_N)))


def _derivatives(
    label: np.ndarray, x_NK: np.ndarray, offset_N: np.ndarray, beta_K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return score and information of the log-likelihood for every row."""
    p_N = expit(x_NK @ beta_K + offset_N)
    return (label - p_N)[:, None] * x_NK, (p_N * (1 - p_N))[:, None, None] * x_NK[:, :, None] * x_NK[:, None, :]
