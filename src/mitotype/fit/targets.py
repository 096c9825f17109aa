"""Training targets of the losses, from the rows and images of a cohort.

Shapes: N patches, K outputs of an auxiliary head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.datasets import votes
from mitotype.features import features

MAX_SD = 3.0  # standardized descriptors are clipped here
DESCRIPTORS = "descriptors.npy"
Heads = Sequence[tuple[str, int]]  # auxiliary heads: name and number of outputs
SUB_LABELS = (  # spelled as AMi-Br spells them
    "AMF bipolar assymetric",
    "AMF multipolar",
    "AMF other",
    "AMF segregation",
    "NMF anaphase-telophase",
    "NMF metaphase",
    "NMF prometaphase",
    "NMF ring shape",
)


def soft_targets(cohort: Cohort, smoothing: float) -> np.ndarray:
    """Return `target_N` in [0, 1], float32: see `datasets.votes.soft_target`."""
    return votes.soft_targets(cohort.rows, smoothing=smoothing).astype("float32")


def sub_label(cohort: Cohort, image_N3HW: np.ndarray, run_dir: Path) -> np.ndarray:
    """Return `target_NK`: mean of the experts' one-hot choices among SUB_LABELS, nan where none was made."""
    count_NK = np.zeros((len(cohort), len(SUB_LABELS)), np.float32)
    for column in ("sub_label_1", "sub_label_2"):
        if column in cohort.rows:
            for row, choice in enumerate(cohort.rows[column]):
                if choice in SUB_LABELS:
                    count_NK[row, SUB_LABELS.index(choice)] += 1
    total_N1 = count_NK.sum(1, keepdims=True)
    return np.where(total_N1 > 0, count_NK / np.maximum(total_N1, 1), np.nan).astype(np.float32)


def expert(cohort: Cohort, image_N3HW: np.ndarray, run_dir: Path) -> np.ndarray:
    """Return `target_N3`: the votes of the first three experts, nan where one did not vote."""
    vote = {"A": 1.0, "N": 0.0}
    texts = cohort.rows["expert_votes"] if "expert_votes" in cohort.rows else [""] * len(cohort)
    return np.array([[vote.get(v, np.nan) for v in str(text).ljust(3, "-")[:3]] for text in texts], np.float32)


def descriptor(cohort: Cohort, image_N3HW: np.ndarray, run_dir: Path) -> np.ndarray:
    """Return `target_NK`: the shape descriptors, nan where undefined; measured once and stored in `run_dir`."""
    path = run_dir / DESCRIPTORS
    with files.locked(run_dir / ".descriptors.lock"):
        if not path.is_file():
            value_NK = features.get("morphology").compute(np.asarray(image_N3HW)).value_BD
            files.write_array(path, value_NK.astype(np.float32))
    return np.load(path)


TARGETS: dict[str, Callable[[Cohort, np.ndarray, Path], np.ndarray]] = {
    "sub_label": sub_label,
    "expert": expert,
    "descriptor": descriptor,
}


def aux_targets(cohort: Cohort, image_N3HW: np.ndarray, heads: Heads, run_dir: Path) -> dict[str, np.ndarray]:
    """Return the targets of the auxiliary heads for all patches of a run. A loss that compares views has a head without any.

    Raises a UserError where all targets of a head are unknown.
    """
    targets = {name: TARGETS[name](cohort, image_N3HW, run_dir) for name, _ in heads if name in TARGETS}
    for name, outputs in heads:
        if name in targets:
            _check(cohort, name, outputs, targets[name])
    return targets


def check_targets(cohort: Cohort, heads: Heads) -> None:
    """Raise the errors of `aux_targets` before anything is measured: of the descriptors only the number is checked."""
    for name, outputs in heads:
        if name == "descriptor":
            _check(cohort, name, outputs, np.zeros((1, len(features.get("morphology").names)), np.float32))
        elif name in TARGETS:
            _check(cohort, name, outputs, TARGETS[name](cohort, np.empty(0), Path()))


def _check(cohort: Cohort, name: str, outputs: int, target_NK: np.ndarray) -> None:
    if target_NK.shape[1] != outputs:
        what = f"The loss '{name}' has {target_NK.shape[1]} targets, and {outputs} outputs in the objective."
        raise UserError(what, fix=f"write {name}({target_NK.shape[1]})")
    if np.isnan(target_NK).all():
        what = f"'{cohort.name}' has no target for the loss '{name}'."
        raise UserError(what, fix=f"remove {name} from the objective")


def standardize(value_NK: np.ndarray) -> np.ndarray:
    """Return each column with mean 0 and SD 1 over these patches, clipped to ± MAX_SD; nan stays nan."""
    value_NK = np.where(np.isfinite(value_NK), value_NK, np.nan).astype(np.float64)
    std_K = np.nanstd(value_NK, 0)
    standard_NK = (value_NK - np.nanmean(value_NK, 0)) / np.where(std_K > 0, std_K, 1)
    return np.clip(standard_NK, -MAX_SD, MAX_SD).astype(np.float32)
