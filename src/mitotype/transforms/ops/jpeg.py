"""JPEG-like compression: the cosine transform of 8 × 8 blocks, quantised by the tables of the standard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.geometry import reflect_index
from mitotype.transforms.transform import Params, PixelOp, transforms

# ITU-T T.81, annex K.1: quantisation of luminance and of chrominance at quality 50.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *(((99,) * 8,) * 4),
)  # fmt: skip
# JFIF: luminance and the two chrominances from red, green, blue.
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@lru_cache(maxsize=16)
def _tables(side: int) -> tuple[Tensor, Tensor]:
    """Return, for a multiple of 8, the cosine transform of all blocks along one axis and the quantisation steps of the image."""
    position, frequency = torch.arange(8), torch.arange(8).view(-1, 1)
    cosine = torch.cos(math.pi * (2 * position + 1) * frequency / 16) / 2
    cosine[0] /= math.sqrt(2)
    blocks = side // 8
    tables = torch.tensor((LUMINANCE, CHROMINANCE, CHROMINANCE), dtype=torch.float32)
    return torch.block_diag(*[cosine] * blocks), tables.repeat(1, blocks, blocks)


@transforms.add("jpeg")
@dataclass(frozen=True)
class Jpeg(PixelOp):
    """Adds the artefacts of JPEG compression; quality ~ U(`quality`, 100).

    Luminance and chrominance, 8 × 8 cosine transform, coefficients rounded to multiples of the standard's tables scaled as
    in libjpeg (a step of 0 does not round), and back. Chrominance is not subsampled.
    """

    quality: float = argument(50.0, low=5, high=100, meaning="lowest quality")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        quality_B = 100 - torch.rand(batch_size, generator=generator) * (100 - self.quality)
        return {"percent_B": torch.where(quality_B < 50, 5000 / quality_B, 200 - 2 * quality_B)}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        side = image_B3CC.shape[-1]
        padded = math.ceil(side / 8) * 8
        device = image_B3CC.device
        if padded > side:
            index = reflect_index(torch.arange(padded, device=device), side)
            image_B3CC = image_B3CC[:, :, index][:, :, :, index]
        cosine, table_3CC = (t.to(device) for t in _tables(padded))
        ycc_33 = torch.tensor(YCC, device=device)
        planes = (ycc_33 @ image_B3CC.reshape(len(image_B3CC), 3, -1).mul(255)).view(-1, 3, padded, padded)
        planes[:, 0].sub_(128)
        step = (table_3CC * params["percent_B"].view(-1, 1, 1, 1)).add_(50).div_(100).floor_().clamp_(1e-3, 255)
        coefficients = (cosine @ planes @ cosine.T).div_(step).round_().mul_(step)
        planes = cosine.T @ coefficients @ cosine
        planes[:, 0].add_(128)
        rgb = (torch.linalg.inv(ycc_33) @ planes.view(-1, 3, padded * padded)).div_(255).clamp_(0, 1)
        return rgb.view(-1, 3, padded, padded)[:, :, :side, :side].contiguous()
