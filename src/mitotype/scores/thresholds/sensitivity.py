"""The threshold that reaches a sensitivity."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.scores.thresholds.rule import ThresholdRule, thresholds


@thresholds.add("sensitivity")
@dataclass(frozen=True)
class Sensitivity(ThresholdRule):
    """The highest threshold with a sensitivity of at least `value`, which is the one with the best specificity."""

    value: float = argument(low=0, high=1, open_low=True, open_high=True, meaning="lowest allowed sensitivity")

    def threshold(self, probability_N: np.ndarray, label_N: np.ndarray) -> float:
        return sensitivity_threshold(probability_N, label_N, self.value)


def sensitivity_threshold(probability: np.ndarray, label: np.ndarray, sensitivity: float) -> float:
    """Return the highest threshold that at least the share `sensitivity` of the atypical rows reaches.

    It is the midpoint to the next lower score, so that the same rows reach it after rounding elsewhere.
    """
    positive = np.sort(probability[label == 1])[::-1]
    last = positive[int(np.ceil(sensitivity * len(positive) - 1e-9)) - 1]
    below = probability[probability < last]
    if not len(below):
        return float(last)
    above = np.nextafter(below.max(), 1)  # adjacent floating-point numbers have no midpoint: it would round down
    return float(max((last + below.max()) / 2, above))
