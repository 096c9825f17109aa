"""Term: the base class of a loss, what it is called on, and the registry.

Shapes: N patches of a run, B patches of a step, K outputs of an auxiliary head, D width of the embedding, M domains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from mitotype.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
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
    """The targets of a training step. MixUp has mixed those that it mixes.

    target_B    soft target in [0, 1]: the share of experts who voted atypical
    aux         targets `name → BK` of the terms that have their own; an unknown target is nan and adds no loss
    patch_B     index of the patch, the same for all its augmentations; None where no term needs it
    label_B     published label, 1 where atypical; None: the majority of the votes
    domain_BM   1 for the domain of the patch among those of the training patches; all 0 where it is unknown
    progress    share of the training that is done, from 0 to 1
    """

    target_B: Tensor
    aux: Mapping[str, Tensor] = field(default_factory=dict)
    patch_B: Tensor | None = None
    label_B: Tensor | None = None
    domain_BM: Tensor | None = None
    progress: float = 0.0

    @property
    def domain_B(self) -> Tensor:
        """The index of the domain (of the larger share of a mixed patch), −1 where it is unknown."""
        assert self.domain_BM is not None
        return self.domain_BM.argmax(1).where(self.domain_BM.sum(1) > 0, -1)


@dataclass(frozen=True)
class LossContext:
    """What a term may depend on when a training begins: the width D of the embedding and the names of the M domains."""

    embedding_dim: int
    domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetSource:
    """What targets are made of: the rows of the training patches (see `core.schema`), their images, and the shape
    descriptors `value_NK`, which are measured on the first call."""

    rows: pd.DataFrame
    image_N3HW: np.ndarray
    descriptors: Callable[[], np.ndarray]


Loss = Callable[[Outputs, Batch], "Tensor"]


class Term:
    """A loss term: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments.

    The first line of its docstring is its summary in listings. A term with targets of its own names them by `head`, which
    with `n_outputs` above 0 is a linear auxiliary head on the embedding too; it is stored with the net.
    """

    per_patch: ClassVar[bool]  # True: returns loss_B, unreduced; False: a scalar for the batch
    mixup: ClassVar[str]  # effect of MixUp on this term
    head: ClassVar[str | None] = None  # name of its auxiliary head and of its targets in Batch.aux
    n_outputs: int = 0  # outputs of that head
    reads_logit: ClassVar[bool] = True  # False: without an auxiliary head it reads the embedding alone
    reads_labels: ClassVar[bool] = True  # False: self-supervised
    reads_teacher: ClassVar[bool] = False  # True: its target is the score of a teacher run
    compares_views: ClassVar[bool] = False  # True: needs every patch twice in a step, and no MixUp

    def targets(self, source: TargetSource) -> np.ndarray | None:
        """Return the term's own targets `target_NK` (float32, nan where unknown); None without any."""
        return None

    def fit_targets(self, target_NK: np.ndarray) -> np.ndarray:
        """Return the targets of one member's training patches, such as standardized ones."""
        return target_NK

    def build(self, context: LossContext) -> Loss:
        """Return the loss of one training; an `nn.Module` is trained with the net, and not stored with it."""
        return self

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        raise NotImplementedError


losses: Registry[type[Term]] = Registry("loss", "losses", "mitotype.losses")


def weighted_sum(weights: Sequence[float], terms: Sequence[Loss], outputs: Outputs, batch: Batch) -> Tensor:
    """Return Σ weight · mean of the term over the batch."""
    parts = [weight * term(outputs, batch).mean() for weight, term in zip(weights, terms, strict=True)]
    return sum(parts[1:], parts[0])


def mean_over_known(loss_BK: Tensor, target_BK: Tensor) -> Tensor:
    """Return `loss_B`: mean over the K outputs whose target is known (not nan), 0 where none is."""
    known_BK = ~target_BK.isnan()
    return loss_BK.where(known_BK, loss_BK.new_zeros(())).sum(1) / known_BK.sum(1).clamp(min=1)
