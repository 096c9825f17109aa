"""Abstention until the certain rows reach a balanced accuracy."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.scores.abstentions.rule import MIN_COVERAGE, AbstentionRule, abstentions
from mitotype.scores.risk_coverage import risk_coverage


@abstentions.add("balanced_accuracy")
@dataclass(frozen=True)
class BalancedAccuracy(AbstentionRule):
    """The narrowest band outside which the rows reach a balanced accuracy."""

    value: float = argument(
        low=0, high=1, open_low=True, open_high=True, meaning="balanced accuracy of the certain rows"
    )

    def width(self, probability_N: np.ndarray, label_N: np.ndarray, threshold: float) -> float:
        table = risk_coverage(probability_N, label_N, threshold)
        table = table[table["coverage"] >= MIN_COVERAGE]
        reached = table[table["balanced_accuracy"] >= self.value]
        if not len(reached):
            raise UserError(
                f"No abstention band reaches a balanced accuracy of {self.value:g} with half of the rows certain;"
                f" the best is {table['balanced_accuracy'].max():.3f}.",
                fix="set a lower one, or a share: share(0.1)",
            )
        return float(reached["width"].iloc[0])
