"""Objective: a weighted sum of loss terms, each called on the outputs of a net and the targets of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotype.core import spec
from mitotype.core.arguments import build
from mitotype.losses.term import Batch, LossContext, Outputs, Term, losses, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

    from mitotype.losses.built import BuiltObjective


class Objective:
    """The terms of a spec with their weights; a call returns the weighted sum of their means over the batch.

    >>> Objective("soft_bce + 0.3 * sub_label")(outputs, batch)
    """

    def __init__(self, text: str) -> None:
        steps = spec.weighted_sum(text)
        self.spec = spec.canonical(steps, " + ")
        self.weights = [step.weight for step in steps]
        self.terms: list[Term] = [build(losses.get(step.name), step) for step in steps]

    def aux_heads(self) -> tuple[tuple[str, int], ...]:
        """Return the auxiliary heads that the terms read: name and number of outputs."""
        return tuple((term.head, term.n_outputs) for term in self.terms if term.head and term.n_outputs)

    @property
    def reads_labels(self) -> bool:
        """Whether any term learns from the experts' votes."""
        return any(term.reads_labels for term in self.terms)

    @property
    def trains_logit(self) -> bool:
        """Whether any term reads the logit; without one its head remains as it was initialized."""
        return any(term.head is None and term.reads_logit for term in self.terms)

    def build(self, context: LossContext) -> BuiltObjective:
        """Return the objective for a training: its terms are built with `context`, see `Term.build`."""
        from mitotype.losses.built import BuiltObjective

        return BuiltObjective(self.weights, [term.build(context) for term in self.terms])

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        return weighted_sum(self.weights, self.terms, outputs, batch)
