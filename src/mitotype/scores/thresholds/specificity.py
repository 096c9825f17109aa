"""The threshold that reaches a specificity."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.scores.thresholds.rule import ThresholdRule, thresholds


@thresholds.add("specificity")
@dataclass(frozen=True)
class Specificity(ThresholdRule):
    """The lowest threshold with a specificity of at least `value`, which is the one with the best sensitivity."""

    value: float = argument(low=0, high=1, open_low=True, open_high=True, meaning="lowest allowed specificity")

    def threshold(self, probability_N: np.ndarray, label_N: np.ndarray) -> float:
        return specificity_threshold(probability_N, label_N, self.value)


def specificity_threshold(probability: np.ndarray, label: np.ndarray, specificity: float) -> float:
    """Return the lowest threshold that at most the share 1 - `specificity` of the normal rows reaches.

    It is the midpoint between two scores, or 1 where the highest score is that of too many normal rows.
    """
    negative = np.sort(probability[label == 0])
    last = negative[int(np.ceil(specificity * len(negative) - 1e-9)) - 1]  # the highest that is classified as normal
    above = probability[probability > last]
    if not len(above):
        return 1.0
    return float(max((last + above.min()) / 2, np.nextafter(last, 1)))
