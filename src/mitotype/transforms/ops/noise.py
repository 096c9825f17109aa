"""Sensor noise, read from a fixed array of pseudo-random numbers: a batch costs one gather instead of fresh samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.distributions import uniform
from mitotype.transforms.transform import Params, PixelOp, transforms

N_STARTS = 2**20  # positions in the array at which the noise of a patch may start


@lru_cache(maxsize=8)
def _noise_array(length: int, device: torch.device) -> Tensor:
    """Return N_STARTS standard normal numbers, repeated so that `length` of them follow every position."""
    ring = torch.randn(N_STARTS, generator=torch.Generator().manual_seed(20250621))
    return ring.repeat(1 + -(-length // N_STARTS))[: N_STARTS + length].to(device)


@transforms.add("noise")
@dataclass(frozen=True)
class Noise(PixelOp):
    """Adds independent Gaussian noise to every pixel and channel; its standard deviation is U(0, `level`).

    The noise is a slice of a fixed array; its start and sign are sampled per patch (two million noises).
    """

    level: float = argument(0.02, low=0, high=0.5, unit="of full scale", meaning="largest standard deviation")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {
            "start_B": torch.randint(0, N_STARTS, (batch_size,), generator=generator),
            "level_B": uniform((batch_size,), self.level, generator),
        }

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        length = image_B3CC[0].numel()
        noise = _noise_array(length, image_B3CC.device).unfold(0, length, 1)[params["start_B"]].view_as(image_B3CC)
        return image_B3CC.addcmul_(noise, params["level_B"].view(-1, 1, 1, 1)).clamp_(0, 1)
