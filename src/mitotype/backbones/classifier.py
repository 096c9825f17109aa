"""Classifier: prepare → trunk → one main logit (positive = atypical) and further heads.

Shapes: B patches, C side of the framed picture in px, S side of the net's input in px, D width of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mitotype.backbones.facts import backbones
from mitotype.core import seeds
from mitotype.core.mistakes import Mistake


@dataclass(frozen=True)
class Outputs:
    """What a classifier says: `logit_B` (float32), `embedding_BD`, `tokens` (None for convolutional nets), `extra` heads."""

    logit_B: Tensor
    embedding_BD: Tensor
    tokens: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """What has to be known to build a classifier again: a shelf key, sizes and heads. Plain values only."""

    backbone: str
    size_px: int
    pooling: str
    heads: tuple[tuple[str, int], ...] = ()  # further heads: name and number of outputs
    head_dropout: float = 0.0
    options: tuple[tuple[str, float | int | str | bool], ...] = ()  # of the trunk, such as drop_path_rate

    def plain(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone,
            "size_px": self.size_px,
            "pooling": self.pooling,
            "heads": dict(self.heads),
            "head_dropout": self.head_dropout,
            "options": dict(self.options),
        }

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Architecture:
        try:
            return cls(
                backbone=str(value["backbone"]),
                size_px=int(value["size_px"]),
                pooling=str(value["pooling"]),
                heads=tuple((str(k), int(v)) for k, v in value["heads"].items()),
                head_dropout=float(value["head_dropout"]),
                options=tuple((str(k), v) for k, v in value["options"].items()),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Mistake(
                f"A member's description is not whole: {error!r}.", fix="restore member.json from a copy"
            ) from error


class Classifier(nn.Module):
    """`image_B3CC` in [0, 1] → Outputs. Colour statistics come from the facts of the weights, nowhere else."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        backbone = backbones.get(architecture.backbone)
        facts = backbone.facts
        if architecture.pooling not in facts.pooling:
            raise Mistake(
                f"{architecture.backbone} has no pooling '{architecture.pooling}'.",
                allowed=", ".join(sorted(facts.pooling)),
            )
        self.architecture = architecture
        self.size_px = facts.check_size(architecture.size_px)
        self.trunk = backbone.build(facts, self.size_px, dict(architecture.options))
        width = facts.pooling[architecture.pooling]
        self.dropout = nn.Dropout(architecture.head_dropout)
        self.head = nn.Linear(width, 1)
        self.extra = nn.ModuleDict({name: nn.Linear(width, outputs) for name, outputs in architecture.heads})
        for name, weight in self.named_parameters():  # heads start almost without an opinion
            if name.startswith(("head.", "extra.")):
                nn.init.normal_(weight, std=0.1 / width**0.5) if weight.dim() > 1 else nn.init.zeros_(weight)
        self.register_buffer("mean", torch.tensor(facts.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(facts.std).view(1, 3, 1, 1), persistent=False)

    def prepare(self, image_B3CC: Tensor) -> Tensor:
        """`image_B3CC` in [0, 1] → `x_B3SS`: resized to the net's input (bilinear, antialiased) and standardised."""
        if image_B3CC.shape[-1] != self.size_px:
            size = (self.size_px, self.size_px)
            image_B3CC = functional.interpolate(image_B3CC, size, mode="bilinear", antialias=True, align_corners=False)
        return ((image_B3CC - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def forward(self, image_B3CC: Tensor) -> Outputs:
        embedding_BD, tokens = self.trunk(self.prepare(image_B3CC))
        kept_BD = self.dropout(embedding_BD)
        extra = {name: head(kept_BD).float() for name, head in self.extra.items()}
        return Outputs(self.head(kept_BD).squeeze(1).float(), embedding_BD.float(), tokens, extra)


def build(architecture: Architecture, *, seed: int) -> Classifier:
    """A classifier at random weights that follow from `seed` alone, in the memory layout that is quick on CPU and GPU."""
    with seeds.forked_torch(seed, "initialisation"):
        return Classifier(architecture).to(memory_format=torch.channels_last)


def parameters_m(model: nn.Module) -> float:
    """Million parameters."""
    return sum(p.numel() for p in model.parameters()) / 1e6
