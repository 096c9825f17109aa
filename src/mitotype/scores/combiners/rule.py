"""CombinerRule: the base class and the registry.

Shapes: N out-of-fold rows, S sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from mitotype.core import arguments
from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.registry import Registry
from mitotype.core.spec import Step
from mitotype.scores.sources import SourceRows


class FittedCombiner(Protocol):
    """A fitted rule: from the logits of the sources to one."""

    def combine(self, logit_NS: np.ndarray) -> np.ndarray:
        """Return `logit_N`."""


@dataclass(frozen=True)
class FittedSum:
    """logit = Σ weight · logit of the source + intercept."""

    weight_S: np.ndarray
    intercept: float = 0.0

    def combine(self, logit_NS: np.ndarray) -> np.ndarray:
        logit_N: np.ndarray = logit_NS @ np.asarray(self.weight_S, float) + self.intercept
        return logit_N


class CombinerRule:
    """A rule: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments."""

    is_fitted: ClassVar[bool] = True  # False: the result does not depend on the rows

    @classmethod
    def from_step(cls, step: Step) -> Self:
        """Return the rule that a step of a spec names. Raises a UserError for wrong arguments."""
        return arguments.build(cls, step)

    def check_sources(self, names: Sequence[str]) -> None:
        """Raise a UserError for a number of sources that the rule cannot combine."""

    def fit(self, rows: SourceRows, seed: int) -> FittedCombiner:
        """Fit on labelled out-of-fold rows. Raises a UserError for rows that the rule cannot be fitted on."""
        raise NotImplementedError

    def cross_fit(self, rows: SourceRows, folds: int, seed: int) -> tuple[FittedCombiner, np.ndarray]:
        """Return the rule fitted on all rows, and `logit_N`, each case combined by a fit on other cases."""
        fitted = self.fit(rows, seed)
        if not self.is_fitted:
            return fitted, fitted.combine(rows.logit_NS)
        fold_N = case_folds(rows.case_N, rows.label_N >= 0.5, folds=folds, seed=seed)
        logit_N = np.zeros(len(fold_N))
        for fold in range(int(fold_N.max()) + 1):
            if len(set(rows.label_N[fold_N != fold] >= 0.5)) < 2:
                what = (
                    "One case has all atypical or all normal figures, so that a combiner cannot be fitted without it."
                )
                raise UserError(what, fix="combine the runs by mean, or add cases")
            others = self.fit(rows.take(fold_N != fold), seed)
            logit_N[fold_N == fold] = others.combine(rows.logit_NS[fold_N == fold])
        return fitted, logit_N


class CombinerRegistry(Registry[type[CombinerRule]]):
    """The rules, some of which take arguments of their own."""

    def read(self, text: str) -> CombinerRule:
        """Return the rule of a spec such as "greedy(balanced_accuracy)". Raises a UserError for a wrong one."""
        step = arguments.single_step(text, self.kind, f"mitotype {self.plural}")
        return self.get(step.name).from_step(step)


combiners = CombinerRegistry("combiner", "combiners", "mitotype.scores.combiners")
