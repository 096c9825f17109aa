"""Given weights of the sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mitotype.core.errors import UserError
from mitotype.core.spec import Step
from mitotype.scores.combiners.rule import CombinerRule, FittedSum, combiners
from mitotype.scores.sources import SourceRows

FORM = "one number for each source, in their order, not all 0, as in weights(0.7, 0.3)"


@combiners.add("weights")
@dataclass(frozen=True)
class Weights(CombinerRule):
    """The sum of the sources' logits with given weights, one for each source in their order: weights(0.7, 0.3).

    The weights are taken as they are. The decision is fitted on the sum, so that their scale matters little.
    """

    is_fitted = False
    weight_S: tuple[float, ...] = ()

    @classmethod
    def from_step(cls, step: Step) -> Self:
        if step.options or not all(isinstance(value, int | float) for value in step.args) or not any(step.args):
            raise UserError(f"'{step}' gives no weights.", allowed=FORM)
        return cls(tuple(float(value) for value in step.args if isinstance(value, int | float)))

    def check_sources(self, names: Sequence[str]) -> None:
        if len(self.weight_S) != len(names):
            what = f"There are {len(self.weight_S)} weights and {len(names)} sources: {', '.join(names)}."
            raise UserError(what, allowed=FORM)

    def fit(self, rows: SourceRows, seed: int) -> FittedSum:
        self.check_sources(rows.sources)
        return FittedSum(np.array(self.weight_S))
