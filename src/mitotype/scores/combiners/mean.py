"""The mean of the sources' logits."""

from dataclasses import dataclass

import numpy as np

from mitotype.scores.combiners.rule import CombinerRule, FittedSum, combiners
from mitotype.scores.sources import SourceRows


@combiners.add("mean")
@dataclass(frozen=True)
class Mean(CombinerRule):
    """The mean of the sources' logits, each the mean of its members: a source counts once, however many members it has."""

    is_fitted = False

    def fit(self, rows: SourceRows, seed: int) -> FittedSum:
        return FittedSum(np.full(len(rows.sources), 1 / len(rows.sources)))
