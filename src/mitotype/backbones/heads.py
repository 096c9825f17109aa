"""Heads: `embedding_BD` → the main logit. Linear for what is trained, two more for probes that solve nothing.

Shapes: B patches, D width of the embedding, N patches that a neighbour head remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mitotype.core.mistakes import unknown


class LinearHead(nn.Linear):
    """W·e + b, one output for the main head."""

    def __init__(self, width: int, outputs: int = 1) -> None:
        super().__init__(width, outputs)
        nn.init.normal_(self.weight, std=0.1 / width**0.5)  # starts almost without an opinion
        nn.init.zeros_(self.bias)


class CosineHead(nn.Linear):
    """w·e/|e| + b: with w = s (m₁ − m₀) it compares the cosines to the prototypes m₁ (atypical) and m₀ (normal)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return super().forward(functional.normalize(embedding_BD, dim=1))


class NeighbourHead(nn.Module):
    """The share of atypical votes among the k nearest training patches by cosine, as a logit.

    p = (Σ wᵢ tᵢ + ½/k) / (Σ wᵢ + 1/k), with wᵢ the softmax of cosine / temperature over the k nearest (Caron et al., arXiv
    2104.14294) and tᵢ the soft target; the ½ keeps a unanimous vote finite.
    """

    bank_ND: Tensor
    target_N: Tensor

    def __init__(self, width: int, k: int = 20, temperature: float = 0.07) -> None:
        super().__init__()
        self.k, self.temperature = k, temperature
        self.register_buffer("bank_ND", torch.zeros(0, width))
        self.register_buffer("target_N", torch.zeros(0))

    def remember(self, embedding_ND: Tensor, target_N: Tensor) -> None:
        self.bank_ND, self.target_N = functional.normalize(embedding_ND, dim=1), target_N

    def forward(self, embedding_BD: Tensor) -> Tensor:
        cosine_BN = functional.normalize(embedding_BD, dim=1) @ self.bank_ND.to(embedding_BD.dtype).T
        near_BK, which_BK = cosine_BN.topk(min(self.k, len(self.bank_ND)), dim=1)
        weight_BK = (near_BK / self.temperature).softmax(1)
        share_B = ((weight_BK * self.target_N[which_BK]).sum(1) + 0.5 / self.k) / (1 + 1 / self.k)
        return share_B.logit().unsqueeze(1)

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *more: Any) -> None:
        """What is remembered has the size of what was written."""
        for name in ("bank_ND", "target_N"):
            if prefix + name in state:
                setattr(self, name, torch.zeros_like(state[prefix + name], device=self.bank_ND.device))
        super()._load_from_state_dict(state, prefix, *more)


HEADS: dict[str, Callable[..., nn.Module]] = {"linear": LinearHead, "cosine": CosineHead, "neighbours": NeighbourHead}


def build(name: str, width: int, **options: float) -> nn.Module:
    if name not in HEADS:
        raise unknown("head", name, HEADS, "mitotype backbones")
    return HEADS[name](width, **options)
