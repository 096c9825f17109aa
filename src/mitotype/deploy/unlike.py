"""Unlike: how far a picture is from the training figures, told from a member's embedding by a logistic line.

The line separates training figures in their place (0) from windows cut 24 px and more beside the figure and from blank
tissue (1). It is fitted on a member's own training patches and its threshold is set on out-of-fold ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files

if TYPE_CHECKING:
    import numpy as np

NAME = "unlike.json"


@dataclass(frozen=True)
class Unlike:
    """Per member a line `weight_D · (embedding_D − mean_D) / sd_D + intercept`; the mean of the members is flagged above 0."""

    lines: Mapping[str, Mapping[str, Any]]
    threshold: float

    def score(self, member: str, embedding_ND: np.ndarray) -> np.ndarray:
        """`score_N` of one member, 0 at the threshold: above it the picture is unlike the training figures."""
        import numpy as np

        line = self.lines[member]
        standard_ND = (embedding_ND - np.asarray(line["mean"])) / np.asarray(line["sd"])
        return standard_ND @ np.asarray(line["weight"]) + line["intercept"] - self.threshold

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Unlike:
        return cls(value["lines"], float(value["threshold"]))


def read(run: Path) -> dict[str, Any] | None:
    """What a run keeps of it, None where it keeps nothing."""
    return files.read_json(run / NAME) if (run / NAME).is_file() else None
