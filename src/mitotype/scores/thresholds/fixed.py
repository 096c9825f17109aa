"""Thresholds that do not depend on the scores."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.scores.thresholds.rule import ThresholdRule, thresholds


@thresholds.add("half")
@dataclass(frozen=True)
class Half(ThresholdRule):
    """A threshold of 0.5."""

    is_fitted = False

    def threshold(self, probability_N: np.ndarray, label_N: np.ndarray) -> float:
        return 0.5


@thresholds.add("at")
@dataclass(frozen=True)
class At(ThresholdRule):
    """A given threshold."""

    is_fitted = False

    probability: float = argument(low=0, high=1, open_low=True, open_high=True, meaning="the threshold")

    def threshold(self, probability_N: np.ndarray, label_N: np.ndarray) -> float:
        return self.probability
