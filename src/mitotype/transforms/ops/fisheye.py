"""Radial distortion that magnifies the centre."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.transform import Params, WarpOp, transforms


@transforms.add("fisheye")
@dataclass(frozen=True)
class Fisheye(WarpOp):
    """Magnifies the centre like a lens and compresses the rim.

    Positive radial distortion: a point at radius r is read at  r · (1 - k + k · (r / R)²), R half the crop's side. So the
    centre is magnified by 1 / (1 - k), the circle inscribed in the crop stays, the corners are read from further out. The map
    of radii rises for every k below 1, so that it has an inverse: the real root r of  k r³ / R² + (1 - k) r = r'. In an augment
    k ~ U(0, `strength`), in a frame, which training and test time share, k = `strength`; 0 changes nothing.
    """

    source = "Ochi et al., arXiv 2509.02591 use a fisheye; the formula and the strength are ours"

    strength: float = argument(0.2, low=0, high=0.8, meaning="largest k")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"k_B": torch.rand(batch_size, generator=generator) * self.strength}

    def fixed_params(self, batch_size: int) -> Params:
        return {"k_B": torch.full((batch_size,), self.strength)}

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        k = params["k_B"].view(-1, 1, 1)
        factor = (x_px * x_px + y_px * y_px) * (k / (crop_px / 2) ** 2) + (1 - k)
        return factor * x_px, factor * y_px

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return radius_px * max(1.0, 1 + self.strength * ((radius_px / (crop_px / 2)) ** 2 - 1))
