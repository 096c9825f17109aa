"""Optics: Gaussian blur, defocus and sharpening, each patch with its own kernel. Past the edge lies the reflection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.view import Drawn, Pixel, argument


def mirrored(index: Tensor, side: int) -> Tensor:
    """Indices past either edge led back inside, about the edge itself: … 1 0 | 0 1 2 …, at any distance."""
    folded = index % (2 * side)
    return torch.where(folded < side, folded, 2 * side - 1 - folded)


@lru_cache(maxsize=16)
def _taps(side: int, radius: int) -> Tensor:
    """For each distance 0 … radius the C × C matrix that sums the pixels at that distance to both sides, flattened."""
    taps = torch.zeros(radius + 1, side, side)
    at = torch.arange(side)
    for offset in range(-radius, radius + 1):
        taps[abs(offset)].index_put_((at, mirrored(at + offset, side)), torch.ones(()), accumulate=True)
    return taps.view(radius + 1, -1)


def gaussian(image_B3CC: Tensor, sigma_B: Tensor, radius: int) -> Tensor:
    """Gaussian blur with σ in px per patch, the kernel cut at `radius` px: x' = K x Kᵀ, K the banded matrix of the kernel."""
    side = image_B3CC.shape[-1]
    distance = torch.arange(radius + 1, device=sigma_B.device)
    weight_BT = torch.exp(-0.5 * (distance / sigma_B.clamp(min=1e-3).unsqueeze(1)) ** 2)
    weight_BT = weight_BT / (2 * weight_BT.sum(1, keepdim=True) - 1)
    kernel_B1CC = (weight_BT @ _taps(side, radius).to(sigma_B.device)).view(-1, 1, side, side)
    return kernel_B1CC @ image_B3CC @ kernel_B1CC.transpose(2, 3)


@views.add("blur")
@dataclass(frozen=True)
class Blur(Pixel):
    """Blurs with a Gaussian; σ is even in 0 to `sigma`."""

    identity: ClassVar[Mapping[str, float]] = {"sigma": 0}

    sigma: float = argument(1.0, 0, 8, "px", "largest standard deviation")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {"sigma_B": torch.rand(batch_size, generator=generator) * self.sigma}

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        return gaussian(image_B3CC, drawn["sigma_B"], math.ceil(3 * self.sigma)).clamp_(0, 1)


@views.add("sharpen")
@dataclass(frozen=True)
class Sharpen(Pixel):
    """Sharpens by an unsharp mask, as some scanners do: x + a · (x - blurred x), a even in 0 to `amount`."""

    identity: ClassVar[Mapping[str, float]] = {"amount": 0}

    amount: float = argument(1.0, 0, 5, "", "largest weight of the mask")
    sigma: float = argument(1.0, 0.3, 4, "px", "standard deviation of the mask's Gaussian")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {"amount_B": torch.rand(batch_size, generator=generator) * self.amount}

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        amount_B = drawn["amount_B"]
        blurred = gaussian(image_B3CC, torch.full_like(amount_B, self.sigma), math.ceil(3 * self.sigma))
        return torch.lerp(image_B3CC, blurred, -amount_B.view(-1, 1, 1, 1)).clamp_(0, 1)


@views.add("defocus")
@dataclass(frozen=True)
class Defocus(Pixel):
    """Puts the picture out of focus: the mean over a disc, its radius even in 0 to `radius`, its rim softened by a pixel."""

    identity: ClassVar[Mapping[str, float]] = {"radius": 0}

    radius: float = argument(1.5, 0, 6, "px", "largest radius of the disc")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {"radius_B": torch.rand(batch_size, generator=generator) * self.radius}

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        side, reach = image_B3CC.shape[-1], math.floor(self.radius + 0.5)
        device = image_B3CC.device
        offsets = torch.arange(-reach, reach + 1, device=device)
        distance_KK = (offsets[:, None] ** 2 + offsets[None] ** 2).sqrt()
        disc_BKK = (drawn["radius_B"].view(-1, 1, 1) + 0.5 - distance_KK).clamp_(0, 1)
        disc_BKK = disc_BKK / disc_BKK.sum((1, 2), keepdim=True)
        around = mirrored(torch.arange(-reach, side + reach, device=device), side)
        wide = image_B3CC[:, :, around][:, :, :, around]
        out = torch.zeros_like(image_B3CC)
        for row in range(2 * reach + 1):
            for column in range(2 * reach + 1):
                if (row - reach) ** 2 + (column - reach) ** 2 < (self.radius + 0.5) ** 2:
                    weight = disc_BKK[:, row, column].view(-1, 1, 1, 1)
                    out.addcmul_(wide[:, :, row : row + side, column : column + side], weight)
        return out.clamp_(0, 1)
