"""The trunk of every net without tokens that timm builds (convolutions, shifted windows), pooled to the mean over positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor, nn

from mitotype.backbones.model_spec import ModelSpec


class PooledTrunk(nn.Module):
    """`x_B3SS` → `embedding_BD`: timm's own pooling (and norm, where it has one) before its classifier."""

    def __init__(self, spec: ModelSpec, size_px: int, model_kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        kwargs = dict(spec.arch_kwargs)
        if "img_size" in kwargs:  # nets whose windows are laid out for one input size
            kwargs["img_size"] = size_px
        self.net: Any = timm.create_model(spec.arch, pretrained=False, num_classes=0, **{**kwargs, **model_kwargs})

    def set_grad_checkpointing(self, enable: bool) -> None:
        """Recompute activations in the backward pass instead of storing them."""
        self.net.set_grad_checkpointing(enable)

    def forward(self, x_B3SS: Tensor) -> Tensor:
        return self.net(x_B3SS)
