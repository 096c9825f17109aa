"""The probe fitter: heads solved on cached embeddings of a frozen trunk, without gradients through a net.

Shapes: N training patches, D width of the embedding, K values of C, F inner folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mitotype.backbones import member_files
from mitotype.backbones.adaptations import Adaptation, adaptations
from mitotype.backbones.adaptations.probe import KNN, Prototype
from mitotype.core.errors import UserError
from mitotype.core.logistic import fit_logistic
from mitotype.core.schema import Cohort
from mitotype.datasets import splits
from mitotype.fit import lineage
from mitotype.fit.context import MemberContext
from mitotype.fit.embeddings import embed_run
from mitotype.fit.targets import soft_targets
from mitotype.fit.train.model import architecture
from mitotype.losses import Objective
from mitotype.scores import calibrate
from mitotype.transforms import tta_views

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the logistic regression on standardized embeddings
INNER_FOLDS = 3
MAX_NEWTON_WIDTH = 1024  # above it the Hessian costs more than it saves


def fit(context: MemberContext) -> None:
    """Fit a head on cached embeddings and write the member."""
    recipe = context.recipe
    base = lineage.find_base(recipe, context.plan, context.run.cohort)
    assert base is not None  # validate_recipe refuses a probe of random weights
    embedding_ND = embed_run(context, base)
    train = context.train_cohort
    data = probe_data(
        embedding_ND[context.is_train_N],
        soft_targets(train, recipe.vote_smoothing, use_votes=bool(recipe.soft_labels)),
        train,
        balanced=recipe.sampler != "uniform",
        seed=recipe.seed,
    )
    adaptation = adaptations.build(recipe.adaptation)
    head = adaptation.build_head(embedding_ND.shape[1])
    recorded = fit_head(adaptation, head, data)
    state = {f"head.{name}": value for name, value in head.state_dict().items()}
    sources = lineage.describe_sources(recipe, context.plan, context.run.cohort, base)
    fields = context.member_fields | sources | recorded
    described = architecture(recipe, Objective(recipe.objective), base)
    member_files.write_tensors(context.dir, context.plan.name, recipe.frame, described, state, **fields)
    context.log_solved(**recorded)


def predict(context: MemberContext) -> dict[str, np.ndarray]:
    """Return the logits of the fold left out by view, from cached embeddings."""
    base = lineage.find_base(context.recipe, context.plan, context.run.cohort)
    head = member_files.read_head(context.dir)
    logits = {}
    with torch.inference_mode():
        for view, _ in tta_views(context.recipe.tta):
            embedding_ND = embed_run(context, base, view)[~context.is_train_N]
            logits[view] = head(torch.from_numpy(embedding_ND)).squeeze(1).numpy()
    return logits


@dataclass(frozen=True)
class ProbeData:
    """Embeddings, soft targets, a weight and an inner fold per patch."""

    embedding_ND: np.ndarray
    target_N: np.ndarray
    weight_N: np.ndarray
    inner_fold_N: np.ndarray


def probe_data(
    embedding_ND: np.ndarray, target_N: np.ndarray, cohort: Cohort, *, balanced: bool, seed: int
) -> ProbeData:
    """Return the data of a probe. `cohort` are its training patches; inner folds do not split cases.

    `balanced` gives both classes the same total weight. Raises a UserError for patches of one class.
    """
    target_N = np.asarray(target_N, float)
    if not 0 < target_N.sum() < len(target_N):
        raise UserError(f"All {len(target_N)} training patches are of one class.", fix="use fewer folds or other data")
    share = target_N.mean()
    weight_N = target_N * 0.5 / share + (1 - target_N) * 0.5 / (1 - share) if balanced else np.ones(len(target_N))
    inner = splits.grouped_folds(cohort, min(INNER_FOLDS, cohort.rows["case_id"].nunique()), seed)
    return ProbeData(embedding_ND, target_N, weight_N, inner.loc[cohort.rows["patch_id"]].to_numpy())


def fit_probe(data: ProbeData) -> tuple[np.ndarray, float, float]:
    """Fit a logistic regression to convergence on standardized embeddings, with C selected by the log loss of inner folds.

    Return `(coef_D, intercept, C)`, on raw embeddings.
    Of the C whose loss is within half a standard error (over inner folds) of the least, the smallest is selected.
    """
    loss_KF = np.array([[_inner_loss(data, C, fold) for fold in np.unique(data.inner_fold_N)] for C in C_GRID])
    mean_K, error_K = loss_KF.mean(1), loss_KF.std(1) / loss_KF.shape[1] ** 0.5
    best = int(mean_K.argmin())
    selected = next(C for C, mean in zip(C_GRID, mean_K, strict=True) if mean <= mean_K[best] + 0.5 * error_K[best])
    return *_fit_on_rows(data, np.ones(len(data.target_N), bool), selected), selected


def _inner_loss(data: ProbeData, C: float, fold: int) -> float:
    is_test_N = data.inner_fold_N == fold
    coef_D, intercept = _fit_on_rows(data, ~is_test_N, C)
    loss_N = calibrate.log_loss_of_rows(data.embedding_ND[is_test_N] @ coef_D + intercept, data.target_N[is_test_N])
    return float(np.average(loss_N, weights=data.weight_N[is_test_N]))


def _fit_on_rows(data: ProbeData, rows_N: np.ndarray, C: float) -> tuple[np.ndarray, float]:
    """Return `(coef_D, intercept)` on raw embeddings of a logistic regression on standardized ones."""
    x_ND, target_N = data.embedding_ND[rows_N].astype(np.float64), data.target_N[rows_N]
    weight_N = data.weight_N[rows_N]
    mean_D, std_D = x_ND.mean(0), x_ND.std(0)
    std_D[std_D < 1e-8] = 1.0
    solver = "newton-cholesky" if x_ND.shape[1] <= MAX_NEWTON_WIDTH else "lbfgs"
    positive_N, negative_N = weight_N * target_N, weight_N * (1 - target_N)
    coef_D, intercept = fit_logistic((x_ND - mean_D) / std_D, positive_N, negative_N, C=C, solver=solver, tol=1e-6)
    coef_D = coef_D / std_D
    return coef_D, float(intercept - coef_D @ mean_D)


def fit_prototypes(data: ProbeData) -> tuple[np.ndarray, float]:
    """Return `(coef_D, intercept)` of a CosineHead: s (m₁ − m₀) and b, with m the weighted class means of unit embeddings.

    Scale s and intercept b are fitted by maximum likelihood.
    """
    unit_ND = data.embedding_ND / np.maximum(np.linalg.norm(data.embedding_ND, axis=1, keepdims=True), 1e-12)
    atypical = data.weight_N * data.target_N
    normal = data.weight_N * (1 - data.target_N)
    difference_D = atypical @ unit_ND / atypical.sum() - normal @ unit_ND / normal.sum()
    logit_N = unit_ND @ difference_D
    scale = float(logit_N.std()) or 1.0
    line = calibrate.fit(logit_N / scale, data.target_N, "platt")
    return line.slope / scale * difference_D, line.intercept


def fit_head(adaptation: Adaptation, head: Any, data: ProbeData) -> dict[str, float]:
    """Fill a classifier's head. Return the fields of it in the member's record and in the log."""
    if isinstance(adaptation, KNN):
        head.store(torch.from_numpy(data.embedding_ND).float(), torch.from_numpy(data.target_N).float())
        return {"stored_patches": len(data.target_N)}
    recorded: dict[str, float] = {}
    if isinstance(adaptation, Prototype):
        coef_D, intercept = fit_prototypes(data)
    else:
        coef_D, intercept, recorded["C"] = fit_probe(data)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(coef_D)[None])
        head.bias.fill_(intercept)
    return recorded
