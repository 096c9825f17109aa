"""Heads: `embedding_BD` → the main logit. A linear head, and two that probes fill without training.

Shapes: B patches, D width of the embedding, N stored patches, K nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class LinearHead(nn.Linear):
    """W·e + b, with one output for the main head."""

    def __init__(self, width: int, outputs: int = 1) -> None:
        super().__init__(width, outputs)
        nn.init.normal_(self.weight, std=0.1 / width**0.5)  # small, so that logits start near 0
        nn.init.zeros_(self.bias)


class CosineHead(nn.Linear):
    """w·e/|e| + b: with w = s (m₁ − m₀) it compares the cosines to the prototypes m₁ (atypical) and m₀ (normal)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return super().forward(functional.normalize(embedding_BD, dim=1))


class KNNHead(nn.Module):
    """The share of atypical votes among the k nearest training patches by cosine, as a logit.

    p = (Σ wᵢ tᵢ + ½/k) / (Σ wᵢ + 1/k), with wᵢ the softmax of cosine / temperature over the k nearest (Caron et al., arXiv
    2104.14294) and tᵢ the soft target; the ½ keeps the logit of a unanimous vote finite.
    """

    bank_ND: Tensor
    target_N: Tensor

    def __init__(self, width: int, k: int = 20, temperature: float = 0.07) -> None:
        super().__init__()
        self.k, self.temperature = k, temperature
        self.register_buffer("bank_ND", torch.zeros(0, width))
        self.register_buffer("target_N", torch.zeros(0))

    def store(self, embedding_ND: Tensor, target_N: Tensor) -> None:
        """Set the training patches, by their embeddings and soft targets."""
        self.bank_ND, self.target_N = functional.normalize(embedding_ND, dim=1), target_N

    def forward(self, embedding_BD: Tensor) -> Tensor:
        cosine_BN = functional.normalize(embedding_BD, dim=1) @ self.bank_ND.to(embedding_BD.dtype).T
        nearest_BK, index_BK = cosine_BN.topk(min(self.k, len(self.bank_ND)), dim=1)
        weight_BK = (nearest_BK / self.temperature).softmax(1)
        share_B = ((weight_BK * self.target_N[index_BK]).sum(1) + 0.5 / self.k) / (1 + 1 / self.k)
        return share_B.logit().unsqueeze(1)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Resize the buffers first: N is that of the saved state."""
        for name in ("bank_ND", "target_N"):
            if prefix + name in state_dict:
                setattr(self, name, torch.zeros_like(state_dict[prefix + name], device=self.bank_ND.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
