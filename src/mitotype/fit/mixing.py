"""MixUp (Zhang et al., arXiv 1710.09412): x ← λ·x + (1−λ)·x', t ← λ·t + (1−λ)·t', with λ ~ Beta(α, α) per patch."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(batch: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`(partner_B, share_B)`: a permutation of the batch and λ in [½, 1] (a patch mixes with itself by at least half)."""
    partner_B = torch.randperm(batch, generator=generator)
    # Beta(α, α) from two gammas; torch's gamma takes no generator, so the quantile is drawn and inverted.
    from scipy.stats import beta

    quantile_B = torch.rand(batch, generator=generator, dtype=torch.float64)
    share_B = torch.from_numpy(beta.ppf(quantile_B.numpy(), alpha, alpha)).float()
    return partner_B, torch.maximum(share_B, 1 - share_B)


def mix(value_B: Tensor, other_B: Tensor, share_B: Tensor) -> Tensor:
    """λ·value + (1−λ)·other, for pictures and targets of any shape `B…`; nan in either stays nan."""
    share = share_B.to(value_B.device).view(-1, *([1] * (value_B.dim() - 1)))
    return torch.lerp(other_B, value_B, share.to(value_B.dtype))
