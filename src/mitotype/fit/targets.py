"""Training targets: the soft votes, and what the losses have of their own, from the rows and images of a cohort.

Shapes: N patches, K outputs of a term, M domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.schema import PATCH_PX, Cohort
from mitotype.datasets import votes
from mitotype.features import features
from mitotype.losses import TargetSource, Term

DESCRIPTORS = "descriptors.npy"


def soft_targets(cohort: Cohort, smoothing: float, *, use_votes: bool = True) -> np.ndarray:
    """Return `target_N` in [0, 1], float32: see `datasets.votes.soft_target`; without votes the published label."""
    if not use_votes:
        return cohort.rows["label"].to_numpy("float32")
    return votes.soft_targets(cohort.rows, smoothing=smoothing).astype("float32")


def domains(cohort: Cohort) -> tuple[str, ...]:
    """Return the names of a cohort's domains, in order."""
    return tuple(sorted(set(_domain(cohort)) - {""}))


def domain_targets(cohort: Cohort, names: Sequence[str]) -> np.ndarray:
    """Return `domain_NM`: 1 for the domain of each patch, all 0 where it is unknown."""
    domain_N1 = np.array(_domain(cohort))[:, None]
    return (domain_N1 == np.array(names, dtype=str)[None]).astype(np.float32).reshape(len(cohort), len(names))


def _domain(cohort: Cohort) -> list[str]:
    if "domain" not in cohort.rows:
        return [""] * len(cohort)
    return [str(name) for name in cohort.rows["domain"].fillna("")]


def aux_targets(
    cohort: Cohort, image_N3HW: np.ndarray, terms: Sequence[Term], run_dir: Path
) -> dict[str, tuple[Term, np.ndarray]]:
    """Return the terms' own targets for all patches of a run, each with its term, by the name of its head.

    Raises a UserError where all targets of a term are unknown.
    """
    source = TargetSource(cohort.rows, image_N3HW, lambda: _descriptors(image_N3HW, run_dir))
    result = {}
    for term in terms:
        target_NK = term.targets(source)
        if term.head and target_NK is not None:
            _check(cohort, term, target_NK)
            result[term.head] = (term, target_NK)
    return result


def check_targets(cohort: Cohort, terms: Sequence[Term]) -> None:
    """Raise the errors of `aux_targets` before anything is measured: targets from images or descriptors are those of one
    black image.
    """
    black_N3HW = np.zeros((1, 3, PATCH_PX, PATCH_PX), np.uint8)
    placeholder_NK = np.zeros((1, len(features.get("morphology").names)), np.float32)
    source = TargetSource(cohort.rows, black_N3HW, lambda: placeholder_NK)
    for term in terms:
        target_NK = term.targets(source)
        if target_NK is not None:
            _check(cohort, term, target_NK)


def _check(cohort: Cohort, term: Term, target_NK: np.ndarray) -> None:
    if term.n_outputs and target_NK.shape[1] != term.n_outputs:
        what = (
            f"The loss '{term.head}' has {target_NK.shape[1]} targets, and {term.n_outputs} outputs in the objective."
        )
        raise UserError(what, fix=f"write {term.head}({target_NK.shape[1]})")
    if np.isnan(target_NK).all():
        what = f"'{cohort.name}' has no target for the loss '{term.head}'."
        raise UserError(what, fix=f"remove {term.head} from the objective")


def _descriptors(image_N3HW: np.ndarray, run_dir: Path) -> np.ndarray:
    """Return `value_NK`: the shape descriptors, nan where undefined; measured once and stored in `run_dir`."""
    path = run_dir / DESCRIPTORS
    with files.locked(run_dir / ".descriptors.lock"):
        if not path.is_file():
            value_NK = features.get("morphology").compute(np.asarray(image_N3HW)).value_BD
            files.write_array(path, value_NK.astype(np.float32))
    return np.load(path)
