"""The logistic stack."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mitotype.core.errors import UserError
from mitotype.scores.combiners.rule import CombinerRule, FittedCombiner, FittedSum, combiners
from mitotype.scores.sources import SourceRows
from mitotype.scores.stack import fit_sources


@combiners.add("stack")
@dataclass(frozen=True)
class Stack(CombinerRule):
    """Weights and an intercept by logistic regression, with a penalty towards equal weights that is cross-validated.

    See `scores.stack.fit_sources`. The cross-fitted rows share the penalty, which is chosen on all cases.
    """

    def check_sources(self, names: Sequence[str]) -> None:
        if len(names) < 2:
            raise UserError("A stack of one source is that source.", fix="give two or more runs, or use mean")

    def fit(self, rows: SourceRows, seed: int) -> FittedSum:
        weight_S, intercept, _ = fit_sources(rows.logit_NS, rows.label_N, rows.case_N, seed=seed)
        return FittedSum(weight_S, intercept)

    def cross_fit(self, rows: SourceRows, folds: int, seed: int) -> tuple[FittedCombiner, np.ndarray]:
        weight_S, intercept, logit_N = fit_sources(rows.logit_NS, rows.label_N, rows.case_N, folds=folds, seed=seed)
        return FittedSum(weight_S, intercept), logit_N
