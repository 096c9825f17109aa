"""MixUp (Zhang et al., arXiv 1710.09412): x ← λ·x + (1−λ)·x', t ← λ·t + (1−λ)·t', with λ ~ Beta(α, α) per patch."""

from __future__ import annotations

import torch
from scipy.stats import beta
from torch import Tensor


def sample(batch: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return `(perm_B, lam_B)`: a permutation of the batch and λ in [½, 1] (a patch has at least half of itself)."""
    perm_B = torch.randperm(batch, generator=generator)
    lam_B = sample_beta(batch, alpha, generator)
    return perm_B, torch.maximum(lam_B, 1 - lam_B)


def sample_beta(batch: int, alpha: float, generator: torch.Generator) -> Tensor:
    """Return samples of Beta(α, α): torch's takes no generator, so a quantile is sampled and the distribution inverted."""
    quantile_B = torch.rand(batch, generator=generator, dtype=torch.float64)
    return torch.from_numpy(beta.ppf(quantile_B.numpy(), alpha, alpha)).float()


def mix(value_B: Tensor, other_B: Tensor, lam_B: Tensor) -> Tensor:
    """Return λ·value + (1−λ)·other for images and targets of any shape `B…`; nan in either stays nan."""
    lam = lam_B.to(value_B.device).view(-1, *([1] * (value_B.dim() - 1)))
    return torch.lerp(other_B, value_B, lam.to(value_B.dtype))
