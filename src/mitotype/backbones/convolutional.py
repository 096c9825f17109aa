"""The trunk of every convolutional net that timm builds: feature map → mean over positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import timm
from torch import Tensor, nn

if TYPE_CHECKING:
    from mitotype.backbones.facts import Facts


class ConvolutionalTrunk(nn.Module):
    """`x_B3SS` → `(embedding_BD, None)`: timm's own pooling (and norm, where it has one) before its classifier."""

    def __init__(self, facts: Facts, size_px: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = timm.create_model(
            facts.offline_arch, pretrained=False, num_classes=0, **{**facts.arch_options, **options}
        )

    def forward(self, x_B3SS: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.net(x_B3SS), None
