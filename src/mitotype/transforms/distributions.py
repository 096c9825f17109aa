"""Random numbers from which transforms sample their parameters."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Return samples of U(-bound, bound)."""
    return torch.rand(shape, generator=generator).mul_(2).sub_(1).mul_(bound)


def clipped_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return standard normal samples, clipped to ± 2.5 so that no patch is made unrecognisable by an extreme value."""
    return torch.randn(shape, generator=generator).clamp_(-2.5, 2.5)


def target_index(uniform_B: Tensor, count: int, *, exclude_self: bool) -> Tensor:
    """Return the index of each patch's target among `count` images, from samples of U(0, 1).

    `exclude_self`: the images are the batch itself, and no patch is its own target.
    """
    if not exclude_self:
        return (uniform_B * count).long().clamp_(max=count - 1)
    step = 1 + (uniform_B * (count - 1)).long().clamp_(max=max(count - 2, 0))
    return (torch.arange(count, device=uniform_B.device) + step) % count
