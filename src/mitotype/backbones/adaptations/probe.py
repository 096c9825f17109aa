"""A frozen trunk: a head that is solved on embeddings (probe, knn, prototype) or trained by gradients (head)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mitotype.backbones.adaptations.adaptation import Adaptation, adaptations
from mitotype.backbones.heads import CosineHead, KNNHead
from mitotype.backbones.model_spec import ModelSpec
from mitotype.core.arguments import argument


@adaptations.add("probe")
@dataclass(frozen=True)
class Probe(Adaptation):
    """Logistic regression to convergence on standardized embeddings; C is selected inside the training fold."""

    is_trunk_frozen = True
    is_solved = True

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        trunk.requires_grad_(False)


@adaptations.add("head")
@dataclass(frozen=True)
class Head(Probe):
    """A linear head on a frozen trunk, trained by gradients like the probes of the published benchmark."""

    is_solved = False


@adaptations.add("knn")
@dataclass(frozen=True)
class KNN(Probe):
    """Share of atypical votes among the nearest training patches."""

    k: int = argument(20, low=1, high=10_000, meaning="number of neighbours")

    def build_head(self, width: int) -> nn.Module:
        return KNNHead(width, self.k)


@adaptations.add("prototype")
@dataclass(frozen=True)
class Prototype(Probe):
    """Cosine similarity to the mean embedding of each class."""

    def build_head(self, width: int) -> nn.Module:
        return CosineHead(width)
