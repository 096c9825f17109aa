"""Full: every weight is trained."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mitotype.backbones.adaptations.adaptation import (
    Adaptation,
    adaptations,
    first_trained_block,
    last_blocks,
    require_transformer,
)
from mitotype.backbones.model_spec import ModelSpec
from mitotype.core.arguments import argument


@adaptations.add("full")
@dataclass(frozen=True)
class Full(Adaptation):
    """Every weight, or those of the last blocks and the final norm."""

    trains_base = True

    decay: float = argument(1.0, low=1e-6, high=1, meaning="factor of the learning rate from a block to the one before")
    last: int = last_blocks()

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        if self.last:
            trunk.requires_grad_(False)
            transformer = require_transformer(trunk, "full(last=…)")
            for block in list(transformer.blocks)[first_trained_block(trunk, self.last) :]:
                block.requires_grad_(True)
            transformer.net.norm.requires_grad_(True)
