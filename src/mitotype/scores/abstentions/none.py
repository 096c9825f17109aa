"""No abstention."""

from dataclasses import dataclass

import numpy as np

from mitotype.scores.abstentions.rule import AbstentionRule, abstentions


@abstentions.add("none")
@dataclass(frozen=True)
class NoBand(AbstentionRule):
    """No band: every row is certain."""

    has_band = False

    def width(self, probability_N: np.ndarray, label_N: np.ndarray, threshold: float) -> float:
        return 0.0
