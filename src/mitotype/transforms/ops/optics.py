"""Optics: Gaussian blur, defocus and sharpening, each patch with its own kernel; images are reflected at their edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.geometry import reflect_index
from mitotype.transforms.transform import Params, PixelOp, transforms


@lru_cache(maxsize=16)
def _taps(side: int, radius: int) -> Tensor:
    """Return, for each distance 0 … radius, the flattened C × C matrix that sums the pixels at that distance on both sides."""
    taps = torch.zeros(radius + 1, side, side)
    index = torch.arange(side)
    for offset in range(-radius, radius + 1):
        taps[abs(offset)].index_put_((index, reflect_index(index + offset, side)), torch.ones(()), accumulate=True)
    return taps.view(radius + 1, -1)


def gaussian(image_B3CC: Tensor, sigma_B: Tensor, radius: int) -> Tensor:
    """Return K x Kᵀ, with K the banded matrix of a Gaussian kernel of `sigma_B` px per patch, truncated at `radius` px."""
    side = image_B3CC.shape[-1]
    distance = torch.arange(radius + 1, device=sigma_B.device)
    weight_BT = torch.exp(-0.5 * (distance / sigma_B.clamp(min=1e-3).unsqueeze(1)) ** 2)
    weight_BT = weight_BT / (2 * weight_BT.sum(1, keepdim=True) - 1)
    kernel_B1CC = (weight_BT @ _taps(side, radius).to(sigma_B.device)).view(-1, 1, side, side)
    return kernel_B1CC @ image_B3CC @ kernel_B1CC.transpose(2, 3)


@transforms.add("blur")
@dataclass(frozen=True)
class Blur(PixelOp):
    """Blurs with a Gaussian; σ ~ U(0, `sigma`)."""

    sigma: float = argument(1.0, low=0, high=8, unit="px", meaning="largest standard deviation")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"sigma_B": torch.rand(batch_size, generator=generator) * self.sigma}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        return gaussian(image_B3CC, params["sigma_B"], math.ceil(3 * self.sigma)).clamp_(0, 1)


@transforms.add("sharpen")
@dataclass(frozen=True)
class Sharpen(PixelOp):
    """Sharpens by an unsharp mask, as some scanners do: x + a · (x - blurred x), a ~ U(0, `amount`)."""

    amount: float = argument(1.0, low=0, high=5, meaning="largest weight of the mask")
    sigma: float = argument(1.0, low=0.3, high=4, unit="px", meaning="standard deviation of the mask's Gaussian")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"amount_B": torch.rand(batch_size, generator=generator) * self.amount}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        amount_B = params["amount_B"]
        blurred = gaussian(image_B3CC, torch.full_like(amount_B, self.sigma), math.ceil(3 * self.sigma))
        return torch.lerp(image_B3CC, blurred, -amount_B.view(-1, 1, 1, 1)).clamp_(0, 1)


@transforms.add("defocus")
@dataclass(frozen=True)
class Defocus(PixelOp):
    """Defocuses the image: mean over a disc of radius ~ U(0, `radius`) whose rim is softened by a pixel."""

    radius: float = argument(1.5, low=0, high=6, unit="px", meaning="largest radius of the disc")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"radius_B": torch.rand(batch_size, generator=generator) * self.radius}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        side, reach = image_B3CC.shape[-1], math.floor(self.radius + 0.5)
        device = image_B3CC.device
        offsets = torch.arange(-reach, reach + 1, device=device)
        distance_KK = (offsets[:, None] ** 2 + offsets[None] ** 2).sqrt()
        disc_BKK = (params["radius_B"].view(-1, 1, 1) + 0.5 - distance_KK).clamp_(0, 1)
        disc_BKK = disc_BKK / disc_BKK.sum((1, 2), keepdim=True)
        index = reflect_index(torch.arange(-reach, side + reach, device=device), side)
        padded = image_B3CC[:, :, index][:, :, :, index]
        out = torch.zeros_like(image_B3CC)
        for row in range(2 * reach + 1):
            for column in range(2 * reach + 1):
                if (row - reach) ** 2 + (column - reach) ** 2 < (self.radius + 0.5) ** 2:
                    weight = disc_BKK[:, row, column].view(-1, 1, 1, 1)
                    out.addcmul_(padded[:, :, row : row + side, column : column + side], weight)
        return out.clamp_(0, 1)
