"""Prompts: learned tokens in every block of a frozen transformer (Jia et al., arXiv 2203.12119)."""

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
from mitotype.backbones.transformer_trunk import Prompts
from mitotype.core.arguments import argument


@adaptations.add("prompts")
@dataclass(frozen=True)
class Prompt(Adaptation):
    """Visual prompt tuning: learned tokens in every block, or in the last ones."""

    count: int = argument(8, low=1, high=1024, meaning="number of tokens per block")
    last: int = last_blocks()

    def unsupported_reason(self, spec: ModelSpec) -> str:
        return "" if spec.blocks else "prompts need a transformer's tokens, and this net has none"

    def apply(self, trunk: nn.Module, spec: ModelSpec) -> None:
        trunk.requires_grad_(False)
        transformer = require_transformer(trunk, "prompts")
        first = first_trained_block(trunk, self.last) if self.last else 0
        transformer.prompts = Prompts(transformer, self.count, first)
