"""Targets: what the objective's terms need to know of each training patch, from the cohort's rows and pictures.

Shapes: N patches, K outputs of a further head.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import votes

if TYPE_CHECKING:
    import numpy as np

MOST_SD = 3.0  # a descriptor beyond it says no more
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


def soft(cohort: Cohort, prior: float) -> np.ndarray:
    """`target_N` in [0, 1], float32: see `datasets.votes.soft_target`."""
    return votes.soft_targets(cohort.rows, prior=prior).astype("float32")


def sub_label(cohort: Cohort, image_N3HW: np.ndarray, folder: Path) -> np.ndarray:
    """`target_NK`: mean of the experts' one-hot choices among SUB_LABELS, nan where none was made."""
    import numpy as np

    found = np.zeros((len(cohort), len(SUB_LABELS)), np.float32)
    for column in ("sub_label_1", "sub_label_2"):
        if column in cohort.rows:
            for row, choice in enumerate(cohort.rows[column]):
                if choice in SUB_LABELS:
                    found[row, SUB_LABELS.index(choice)] += 1
    total = found.sum(1, keepdims=True)
    return np.where(total > 0, found / np.maximum(total, 1), np.nan).astype(np.float32)


def expert(cohort: Cohort, image_N3HW: np.ndarray, folder: Path) -> np.ndarray:
    """`target_N3`: the first three experts' own votes, nan where one did not vote."""
    import numpy as np

    sign = {"A": 1.0, "N": 0.0}
    told = cohort.rows["expert_votes"] if "expert_votes" in cohort.rows else [""] * len(cohort)
    return np.array([[sign.get(v, np.nan) for v in str(line).ljust(3, "-")[:3]] for line in told], np.float32)


def descriptor(cohort: Cohort, image_N3HW: np.ndarray, folder: Path) -> np.ndarray:
    """`target_NK`: the shape descriptors of the room `features`, nan where undefined; measured once and kept in `folder`."""
    import numpy as np

    from mitotype.features import features

    kept = folder / "descriptors.npy"
    with files.locked(folder / ".descriptors.lock"):
        if not kept.is_file():
            value_NK = features.get("morphology").describe(np.asarray(image_N3HW)).value_BD
            with files.atomic(kept) as part, part.open("wb") as out:
                np.save(out, value_NK.astype(np.float32))
    return np.load(kept)


MAKERS: dict[str, Callable[[Cohort, np.ndarray, Path], np.ndarray]] = {
    "sub_label": sub_label,
    "expert": expert,
    "descriptor": descriptor,
}


def further(
    cohort: Cohort, image_N3HW: np.ndarray, heads: tuple[tuple[str, int], ...], folder: Path
) -> dict[str, np.ndarray]:
    """Targets of every further head for all patches of a run; one whose targets are all unknown is a Mistake."""
    found = {}
    for name, outputs in heads:
        if name not in MAKERS:  # a term that compares pictures with each other has no target
            continue
        found[name] = MAKERS[name](cohort, image_N3HW, folder)
        _check(cohort, name, outputs, found[name])
    return found


def check(cohort: Cohort, heads: tuple[tuple[str, int], ...]) -> None:
    """What `further` would find wrong with a cohort, before anything is measured: descriptors are only counted."""
    import numpy as np

    from mitotype.features import features

    for name, outputs in heads:
        if name == "descriptor":
            _check(cohort, name, outputs, np.zeros((1, len(features.get("morphology").names)), np.float32))
        elif name in MAKERS:
            _check(cohort, name, outputs, MAKERS[name](cohort, np.empty(0), Path()))


def _check(cohort: Cohort, name: str, outputs: int, target_NK: np.ndarray) -> None:
    import numpy as np

    if target_NK.shape[1] != outputs:
        what = f"'{name}' has {target_NK.shape[1]} targets, the objective says {outputs}."
        raise Mistake(what, fix=f"write {name}({target_NK.shape[1]})")
    if np.isnan(target_NK).all():
        what = f"'{cohort.name}' carries nothing that the term '{name}' could learn."
        raise Mistake(what, fix=f"leave {name} out of the objective")


def standardised(value_NK: np.ndarray) -> np.ndarray:
    """Each column over these patches to mean 0 and SD 1, clipped to ± MOST_SD; nan stays nan."""
    import numpy as np

    value_NK = np.where(np.isfinite(value_NK), value_NK, np.nan).astype(np.float64)
    spread_K = np.nanstd(value_NK, 0)
    standard_NK = (value_NK - np.nanmean(value_NK, 0)) / np.where(spread_K > 0, spread_K, 1)
    return np.clip(standard_NK, -MOST_SD, MOST_SD).astype(np.float32)
