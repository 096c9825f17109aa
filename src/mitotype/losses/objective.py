"""Objective: a weighted sum of loss terms, each called on the outputs of a net and the targets of a batch.

Shapes: B patches, K outputs of an auxiliary head, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from mitotype.core import spec
from mitotype.core.arguments import build
from mitotype.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Outputs(Protocol):
    """The outputs of a net that terms read. `aux` has one entry per auxiliary head, `name → BK`."""

    @property
    def logit_B(self) -> Tensor: ...
    @property
    def embedding_BD(self) -> Tensor: ...
    @property
    def aux(self) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class Batch:
    """The targets of a training step.

    target_B   soft target in [0, 1]: the share of experts who voted atypical
    aux        targets `name → BK` of auxiliary heads; an unknown target is nan and adds no loss
    patch_B    index of the patch, the same for all its augmentations; None where no term needs it
    label_B    published label, 1 where atypical; None: the majority of the votes
    """

    target_B: Tensor
    aux: Mapping[str, Tensor] = field(default_factory=dict)
    patch_B: Tensor | None = None
    label_B: Tensor | None = None


class Term:
    """A loss term: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments.

    The first line of its docstring is its summary in listings.
    """

    per_patch: ClassVar[bool]  # True: returns loss_B, unreduced; False: a scalar for the batch
    mixup: ClassVar[str]  # effect of MixUp on this term
    head: ClassVar[str | None] = None  # the auxiliary head that it reads
    n_outputs: int = 0  # outputs of that head
    reads_labels: ClassVar[bool] = True  # False: self-supervised
    reads_teacher: ClassVar[bool] = False  # True: its target is the score of a teacher run
    compares_views: ClassVar[bool] = False  # True: needs every patch twice in a step, and no MixUp

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        raise NotImplementedError


losses: Registry[type[Term]] = Registry("loss", "losses", "mitotype.losses")


class Objective:
    """`Objective("soft_bce + 0.3 * sub_label")(outputs, batch)` → a scalar: weighted sum of the terms' means over the batch."""

    def __init__(self, text: str) -> None:
        steps = spec.weighted_sum(text)
        self.spec = spec.canonical(steps, " + ")
        self.weights = [step.weight for step in steps]
        self.terms: list[Term] = [build(losses.get(step.name), step) for step in steps]

    def aux_heads(self) -> tuple[tuple[str, int], ...]:
        """Return the auxiliary heads that the terms read: name and number of outputs."""
        return tuple((term.head, term.n_outputs) for term in self.terms if term.head)

    @property
    def reads_labels(self) -> bool:
        """Whether any term learns from the experts' votes."""
        return any(term.reads_labels for term in self.terms)

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        parts = [w * term(outputs, batch).mean() for w, term in zip(self.weights, self.terms, strict=True)]
        return sum(parts[1:], parts[0])


def mean_over_known(loss_BK: Tensor, target_BK: Tensor) -> Tensor:
    """Return `loss_B`: mean over the K outputs whose target is known (not nan), 0 where none is."""
    known_BK = ~target_BK.isnan()
    return loss_BK.where(known_BK, loss_BK.new_zeros(())).sum(1) / known_BK.sum(1).clamp(min=1)
