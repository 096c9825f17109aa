"""BuiltObjective: the terms of an objective as one module, with whatever parameters they have."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mitotype.losses.term import Batch, Loss, Outputs, weighted_sum


class BuiltObjective(nn.Module):
    """Σ weight · mean of the term over the batch. Terms that are modules are trained with the net and not saved with it."""

    def __init__(self, weights: Sequence[float], terms: Sequence[Loss]) -> None:
        super().__init__()
        self.weights, self.terms = tuple(weights), tuple(terms)
        self.modules_of_terms = nn.ModuleList(term for term in terms if isinstance(term, nn.Module))

    def forward(self, outputs: Outputs, batch: Batch) -> Tensor:
        return weighted_sum(self.weights, self.terms, outputs, batch)
