"""Sensor noise, read from one fixed tile of pseudo-random numbers: a batch costs one gather instead of fresh draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.affine import uniform
from mitotype.views.view import Drawn, Pixel, argument

PLACES = 2**20  # places in the tile at which a patch's noise may start


@lru_cache(maxsize=8)
def _tile(length: int, device: torch.device) -> Tensor:
    """A ring of PLACES standard normal numbers, unrolled so that `length` of them follow every place."""
    ring = torch.randn(PLACES, generator=torch.Generator().manual_seed(20250621))
    return ring.repeat(1 + -(-length // PLACES))[: PLACES + length].to(device)


@views.add("noise")
@dataclass(frozen=True)
class Noise(Pixel):
    """Adds independent Gaussian noise to every pixel and channel; its standard deviation is even in 0 to `level`.

    The noise is a stretch of a fixed tile; where it starts and its sign are drawn per patch (two million noises).
    """

    identity: ClassVar[Mapping[str, float]] = {"level": 0}

    level: float = argument(0.02, 0, 0.5, "of full scale", "largest standard deviation")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {
            "start_B": torch.randint(0, PLACES, (batch_size,), generator=generator),
            "level_B": uniform((batch_size,), self.level, generator),
        }

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        length = image_B3CC[0].numel()
        noise = _tile(length, image_B3CC.device).unfold(0, length, 1)[drawn["start_B"]].view_as(image_B3CC)
        return image_B3CC.addcmul_(noise, drawn["level_B"].view(-1, 1, 1, 1)).clamp_(0, 1)
