"""CutMix (Yun et al., arXiv 1905.04899): a box of x is replaced by that of x', and t ← λ·t + (1−λ)·t', λ the area that remains.

As in the paper a box has the shape of the image, its area is the share 1 − λ' with λ' ~ Beta(α, α), its centre is uniform over the
image, and what is outside of the image is cut off: λ = 1 − (area of the box in the image) / C².

A mitotic figure is in the middle of its patch, so a box either leaves the figure or replaces it, and a label that is mixed by
area is then noisy. It is mixed by area all the same, as published: with α = 1 a box covers the middle of every second patch,
and the target of such a patch is that of the other figure to 46 % on average, that of a patch whose middle remains to 18 %.

Shapes: B patches, C side of an image in px; a box is (top, left, bottom, right) in px, the last two outside of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.fit.train.mixup import sample_beta


def is_selected(cutmix: float, mixup: float, generator: torch.Generator) -> bool:
    """Return whether a step has CutMix, given both α: of two that are not 0 one is drawn, each as often as the other."""
    if cutmix and mixup:
        return bool(torch.rand((), generator=generator) < 0.5)
    return bool(cutmix)


def sample(batch: int, alpha: float, side_px: int, generator: torch.Generator) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return `(perm_B, lam_B), box_B4`: a permutation of the batch, the share of each image that remains, and the boxes."""
    perm_B = torch.randperm(batch, generator=generator)
    half_B1 = (1 - sample_beta(batch, alpha, generator)).sqrt()[:, None] * (side_px / 2)
    centre_B2 = torch.rand(batch, 2, generator=generator) * side_px
    low_B2, high_B2 = ((centre_B2 + half).round().clamp(0, side_px).long() for half in (-half_B1, half_B1))
    lam_B = 1 - (high_B2 - low_B2).prod(1) / side_px**2
    return (perm_B, lam_B), torch.cat([low_B2, high_B2], 1)


def paste(image_B3CC: Tensor, other_B3CC: Tensor, box_B4: Tensor) -> Tensor:
    """Return the images with the boxes of the others; channels last."""
    top, left, bottom, right = box_B4.to(image_B3CC.device).view(-1, 4, 1, 1).unbind(1)
    axis_C = torch.arange(image_B3CC.shape[-1], device=image_B3CC.device)
    y, x = axis_C[:, None], axis_C[None]
    in_box_BCC = (top <= y) & (y < bottom) & (left <= x) & (x < right)
    mixed_B3CC = torch.where(in_box_BCC[:, None], other_B3CC, image_B3CC)
    return mixed_B3CC.contiguous(memory_format=torch.channels_last)
