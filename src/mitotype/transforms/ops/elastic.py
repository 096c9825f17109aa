"""Smooth random displacements: sampled at coarse nodes, cubic in between, computed on the crop only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.transforms.distributions import uniform
from mitotype.transforms.transform import Params, WarpOp, transforms

MIN_RATIO = 3  # spacing over amplitude; below it more than one patch in a thousand has a fold
OVERSHOOT = 1.25**2  # a cubic through values in [-1, 1] stays within 1.25 along each axis


@transforms.add("elastic")
@dataclass(frozen=True)
class Elastic(WarpOp):
    """Deforms the image smoothly, like tissue: cubic interpolation of displacements at evenly spaced nodes.

    A point p is read at p + a · u(p), with a ~ U(0, `amplitude`) per patch, u ~ U(-1, 1) along each axis at the nodes and
    Catmull-Rom in between. The nodes lie over the crop, one at its centre, whatever other warps are given. An amplitude
    above a third of the spacing is an error: the tissue would fold over itself.
    """

    amplitude: float = argument(
        3.0, low=0, high=32, unit="px", meaning="largest displacement of a node along each axis"
    )
    spacing: float = argument(12.0, low=4, high=128, unit="px", meaning="distance between nodes")

    def __post_init__(self) -> None:
        if self.amplitude > self.spacing / MIN_RATIO:
            raise UserError(
                f"amplitude of elastic is {self.amplitude:g} px at a spacing of {self.spacing:g} px: the image would fold.",
                allowed=f"at most {self.spacing / MIN_RATIO:g} px, a third of the spacing",
            )

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        nodes = upsampling(crop_px, self.spacing).shape[1]
        amplitude_B111 = torch.rand((batch_size, 1, 1, 1), generator=generator) * self.amplitude
        return {"displacement_B2NN": uniform((batch_size, 2, nodes, nodes), 1.0, generator) * amplitude_B111}

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        up_CN = upsampling(crop_px, self.spacing).to(x_px.device)
        shift_B2CC = up_CN @ params["displacement_B2NN"] @ up_CN.T
        return shift_B2CC[:, 0] + x_px, shift_B2CC[:, 1] + y_px

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return radius_px + self.amplitude * OVERSHOOT * math.sqrt(2)


@lru_cache(maxsize=16)
def upsampling(crop_px: int, spacing_px: float) -> Tensor:
    """Return the matrix from values at nodes to values at pixels along one axis (Catmull-Rom; each row sums to 1)."""
    half = math.ceil((crop_px - 1) / 2 / spacing_px)
    nodes = 2 * half + 3
    position = (torch.arange(crop_px) - (crop_px - 1) / 2) / spacing_px + half + 1
    left = position.floor().clamp(1, nodes - 3)
    t = position - left
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    up_CN = torch.zeros(crop_px, nodes)
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        up_CN[torch.arange(crop_px), left.long() + offset] = weight
    return up_CN
