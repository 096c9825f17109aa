"""The trunk of every net without tokens that timm builds (convolutions, shifted windows): feature map → mean over positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import timm
from torch import Tensor, nn

if TYPE_CHECKING:
    from mitotype.backbones.facts import Facts


class PooledTrunk(nn.Module):
    """`x_B3SS` → `embedding_BD`: timm's own pooling (and norm, where it has one) before its classifier."""

    def __init__(self, facts: Facts, size_px: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        told = dict(facts.arch_options)
        if "img_size" in told:  # nets whose windows are laid out for one input size
            told["img_size"] = size_px
        self.net: Any = timm.create_model(facts.offline_arch, pretrained=False, num_classes=0, **{**told, **options})
        self._recompute = False

    @property
    def recompute(self) -> bool:
        """Whether activations are made again in the backward pass instead of being kept."""
        return self._recompute

    @recompute.setter
    def recompute(self, on: bool) -> None:
        self._recompute = on
        self.net.set_grad_checkpointing(on)

    def forward(self, x_B3SS: Tensor) -> Tensor:
        return self.net(x_B3SS)
