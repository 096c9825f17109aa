"""Objective: a weighted sum of terms, each called on what the net says and what is known of the batch.

Shapes: B patches, K outputs of a further head, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from mitotype.core import sentence
from mitotype.core.mistakes import Mistake
from mitotype.core.shelf import Shelf

if TYPE_CHECKING:
    from torch import Tensor


class Outputs(Protocol):
    """What a term reads of a net's answer."""

    @property
    def logit_B(self) -> Tensor: ...
    @property
    def embedding_BD(self) -> Tensor: ...
    @property
    def extra(self) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class Batch:
    """What is known of the patches of a step.

    target_B   soft target in [0, 1]: the share of experts who say atypical
    extra      targets `name → BK` of further heads; a row of nan is unknown and costs nothing
    patch_B    number of the patch, the same for every augmentation of it; None where no term asks
    """

    target_B: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    patch_B: Tensor | None = None


class Term:
    """One term. A file subclasses it, states its facts and puts it on the shelf."""

    per_patch: ClassVar[bool]  # True: returns loss_B, unreduced; False: one number for the batch
    mixup: ClassVar[str]  # what MixUp does to this term
    says: ClassVar[str]  # one sentence for the listing
    head: ClassVar[str | None] = None  # the further head it reads and its number of outputs
    outputs: ClassVar[int] = 0
    reads_labels: ClassVar[bool] = True  # False: learns from the pictures alone
    reads_teacher: ClassVar[bool] = False  # True: learns the scores of a teacher run
    compares_draws: ClassVar[bool] = False  # True: needs every patch twice in a step, and no patch mixed with another

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        raise NotImplementedError


losses: Shelf[type[Term]] = Shelf("loss", "losses", "mitotype.losses")


class Objective:
    """`Objective("soft_bce + 0.3 * sub_label")(outputs, batch)` → a scalar: weighted sum of the terms' means over the batch."""

    def __init__(self, text: str) -> None:
        steps = sentence.weighted_sum(text)
        self.text = sentence.written(steps, " + ")
        self.weights = [step.weight for step in steps]
        self.terms: list[Term] = []
        for step in steps:
            term = losses.get(step.name)
            try:
                self.terms.append(term(*step.args, **dict(step.options)))
            except TypeError as error:
                raise Mistake(
                    f"The loss '{step}' is not as '{step.name}' takes it: {error}.", fix="mitotype losses"
                ) from error

    def heads(self) -> tuple[tuple[str, int], ...]:
        """The further heads that the terms read: name and number of outputs."""
        return tuple((term.head, term.outputs) for term in self.terms if term.head)

    @property
    def reads_labels(self) -> bool:
        """Whether any term learns from what experts said."""
        return any(term.reads_labels for term in self.terms)

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        parts = [w * term(outputs, batch).mean() for w, term in zip(self.weights, self.terms, strict=True)]
        return sum(parts[1:], parts[0])


def mean_over_known(loss_BK: Tensor, target_BK: Tensor) -> Tensor:
    """`loss_B`: mean over the K outputs whose target is known (not nan), 0 where none is."""
    known_BK = ~target_BK.isnan()
    return loss_BK.where(known_BK, loss_BK.new_zeros(())).sum(1) / known_BK.sum(1).clamp(min=1)
