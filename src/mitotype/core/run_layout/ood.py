"""ood.json: linear detectors that separate figures like those of the training set from windows beside a figure and blank tissue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mitotype.core import records
from mitotype.core.records import Count, Format2, Name, Record, Share
from mitotype.core.run_layout import names

Vector = list[float]


class LinearDetector(Record, frozen=True, kw_only=True):
    """score = coef · (embedding − mean) / std + intercept, for one member."""

    mean: Vector
    std: Vector
    coef: Vector
    intercept: float

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == len(self.coef):
            raise ValueError("mean, std and coef differ in length")

    def score(self, embedding_ND: np.ndarray) -> np.ndarray:
        """Return `score_N`."""
        standard_ND = (embedding_ND - np.array(self.mean)) / np.array(self.std)
        score_N: np.ndarray = standard_ND @ np.array(self.coef) + self.intercept
        return score_N


class OodRates(Record, frozen=True, kw_only=True):
    """How often figures and negatives (windows beside a figure, blank tissue) are flagged out of fold."""

    figures: Count
    flagged_figures: Share | None
    negatives: Count
    flagged_negatives: Share | None


class OodRecord(Format2, frozen=True, kw_only=True):
    """ood.json: a figure is out of distribution where the mean of its members' scores is above `threshold`."""

    detectors: dict[Name, LinearDetector]
    threshold: float
    out_of_fold: OodRates

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        value = records.renamed(value, {"lines": "detectors"})
        old = {"sd": "std", "weight": "coef"}
        value["detectors"] = {name: records.renamed(line, old) for name, line in value["detectors"].items()}
        old = {"windows": "negatives", "flagged_windows": "flagged_negatives"}
        value["out_of_fold"] = records.renamed(value["out_of_fold"], old)
        return value


def read_ood(run_dir: Path) -> OodRecord | None:
    """Return the detectors of a run, None where none were fitted."""
    path = next((run_dir / name for name in (names.OOD, names.OOD_1) if (run_dir / name).is_file()), None)
    return records.read(path, OodRecord, what="out-of-distribution detector") if path else None
