"""Abstention on a share of the rows."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.scores.abstentions.rule import MIN_COVERAGE, AbstentionRule, abstentions
from mitotype.scores.risk_coverage import distance


@abstentions.add("share")
@dataclass(frozen=True)
class Share(AbstentionRule):
    """The share of rows nearest to the threshold."""

    value: float = argument(low=0, high=MIN_COVERAGE, open_low=True, meaning="share of uncertain rows")

    def width(self, probability_N: np.ndarray, label_N: np.ndarray, threshold: float) -> float:
        return float(np.quantile(distance(probability_N, threshold), self.value))
