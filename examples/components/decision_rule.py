"""A decision rule: a threshold that keeps the count.

mitotype --plugin decision_rule.py train default --data DATA --set threshold=count_matched
"""

from dataclasses import dataclass

import numpy as np

from mitotype.scores.thresholds import ThresholdRule, thresholds


@thresholds.add("count_matched")
@dataclass(frozen=True)
class CountMatched(ThresholdRule):
    """The threshold at which as many figures are called atypical as there are, for studies that count figures."""

    def threshold(self, probability_N: np.ndarray, label_N: np.ndarray) -> float:
        n_atypical = int(label_N.sum())
        descending_N = np.sort(probability_N)[::-1]
        return float(descending_N[n_atypical - 1 : n_atypical + 1].mean())
