"""A transform: a random gamma curve.

mitotype --plugin transform.py train default --data DATA --set "augment=d4 | gamma(0.3) | crop(64)"
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.distributions import uniform
from mitotype.transforms.transform import Params, PixelOp, transforms


@transforms.add("gamma")
@dataclass(frozen=True)
class Gamma(PixelOp):
    """Raises every value to the power e^g, with g ~ U(−`spread`, `spread`) for each patch."""

    spread: float = argument(0.2, low=0, high=1, meaning="largest |g|; 0 changes nothing")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"g_B": uniform((batch_size,), self.spread, generator)}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        return image_B3CC.clamp(1e-6, 1) ** params["g_B"].exp().view(-1, 1, 1, 1)
