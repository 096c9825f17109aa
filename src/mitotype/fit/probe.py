"""Probe: heads solved on embeddings of a frozen trunk, no gradient through a net. All folds and strengths share one cache.

Shapes: N training patches, D width of the embedding, K strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import splits

if TYPE_CHECKING:
    from mitotype.backbones.adapters import Adaptation

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of the logistic regression on standardised embeddings
INNER_FOLDS = 3
WIDE = 1024  # above this width Newton's matrix costs more than it saves


@dataclass(frozen=True)
class Known:
    """What a probe is solved on: embeddings, soft targets, a weight per patch, and an inner fold per patch."""

    embedding_ND: np.ndarray
    target_N: np.ndarray
    weight_N: np.ndarray
    inner_N: np.ndarray


def known(embedding_ND: np.ndarray, target_N: np.ndarray, cohort: Cohort, *, balanced: bool, seed: int) -> Known:
    """`cohort` are the training patches of one fold; the inner folds keep its cases whole. `balanced` classes weigh alike."""
    target_N = np.asarray(target_N, float)
    if not 0 < target_N.sum() < len(target_N):
        raise Mistake(f"All {len(target_N)} training patches are of one class.", fix="use fewer folds or other data")
    share = target_N.mean()
    weight_N = target_N * 0.5 / share + (1 - target_N) * 0.5 / (1 - share) if balanced else np.ones(len(target_N))
    inner = splits.grouped_folds(cohort, min(INNER_FOLDS, cohort.rows["case_id"].nunique()), seed)
    return Known(embedding_ND, target_N, weight_N, inner.loc[cohort.rows["patch_id"]].to_numpy())


@dataclass(frozen=True)
class Solved:
    """w·e + b on raw embeddings, the strength C that was chosen, and the inner log loss of every strength."""

    weight_D: np.ndarray
    bias: float
    strength: float
    inner_loss: dict[float, float]


def logistic(known: Known, strengths: Sequence[float] = STRENGTHS) -> Solved:
    """Logistic regression to convergence on standardised embeddings; C by the log loss of inner folds, weighted as training.

    The least log loss wins; among strengths within half a standard error of it (over inner folds) the smallest C.
    """
    loss_KF = np.array([[_inner_loss(known, c, fold) for fold in np.unique(known.inner_N)] for c in strengths])
    mean_K, error_K = loss_KF.mean(1), loss_KF.std(1) / loss_KF.shape[1] ** 0.5
    best = int(mean_K.argmin())
    chosen = next(k for k in range(len(strengths)) if mean_K[k] <= mean_K[best] + 0.5 * error_K[best])
    every = np.ones(len(known.target_N), bool)
    weight_D, bias = _fit(known, every, strengths[chosen])
    return Solved(weight_D, bias, strengths[chosen], dict(zip(strengths, mean_K.tolist(), strict=True)))


def _inner_loss(known: Known, strength: float, fold: int) -> float:
    from mitotype.scores.calibrate import log_loss_of_rows

    left_N = known.inner_N == fold
    weight_D, bias = _fit(known, ~left_N, strength)
    logit_N = known.embedding_ND[left_N] @ weight_D + bias
    return float(np.average(log_loss_of_rows(logit_N, known.target_N[left_N]), weights=known.weight_N[left_N]))


def _fit(known: Known, rows_N: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """`(weight_D, bias)` on raw embeddings. A soft target is two rows, each class weighing by its share."""
    from sklearn.linear_model import LogisticRegression

    x_ND, target_N, weight_N = (
        known.embedding_ND[rows_N].astype(np.float64),
        known.target_N[rows_N],
        known.weight_N[rows_N],
    )
    mean_D, sd_D = x_ND.mean(0), x_ND.std(0)
    sd_D[sd_D < 1e-8] = 1.0
    x_ND = (x_ND - mean_D) / sd_D
    pull = np.concatenate([weight_N * target_N, weight_N * (1 - target_N)])
    used = pull > 0
    label = np.repeat([1, 0], len(target_N))[used]
    solver = "newton-cholesky" if x_ND.shape[1] <= WIDE else "lbfgs"
    model = LogisticRegression(C=strength, solver=solver, max_iter=3000, tol=1e-6)
    model.fit(np.concatenate([x_ND, x_ND])[used], label, sample_weight=pull[used])
    weight_D = model.coef_[0] / sd_D
    return weight_D, float(model.intercept_[0] - weight_D @ mean_D)


def prototypes(known: Known) -> tuple[np.ndarray, float]:
    """`(weight_D, bias)` for a CosineHead: s (m₁ − m₀) with m the weighted means of unit embeddings, s and b by likelihood."""
    from mitotype.scores import calibrate

    unit_ND = known.embedding_ND / np.maximum(np.linalg.norm(known.embedding_ND, axis=1, keepdims=True), 1e-12)
    atypical = known.weight_N * known.target_N
    normal = known.weight_N * (1 - known.target_N)
    between_D = atypical @ unit_ND / atypical.sum() - normal @ unit_ND / normal.sum()
    logit_N = unit_ND @ between_D
    spread = float(logit_N.std()) or 1.0
    line = calibrate.fit(logit_N / spread, known.target_N, "platt")
    return line.slope / spread * between_D, line.intercept


def solve(adaptation: Adaptation, head: Any, known: Known) -> dict[str, float]:
    """Fill a classifier's head; returns what is worth telling of it."""
    import torch

    from mitotype.backbones import adapters

    if isinstance(adaptation, adapters.Neighbours):
        head.remember(torch.from_numpy(known.embedding_ND).float(), torch.from_numpy(known.target_N).float())
        return {"remembered": len(known.target_N)}
    if isinstance(adaptation, adapters.Prototype):
        weight_D, bias = prototypes(known)
        told: dict[str, float] = {}
    else:
        solved = logistic(known)
        weight_D, bias, told = solved.weight_D, solved.bias, {"strength": solved.strength}
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight_D)[None])
        head.bias.fill_(bias)
    return told
