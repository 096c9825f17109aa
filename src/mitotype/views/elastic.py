"""Smooth random displacements: drawn at coarse nodes, cubic in between, reckoned on the crop only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.core.mistakes import Mistake
from mitotype.views import views
from mitotype.views.affine import uniform
from mitotype.views.view import Drawn, Warp, argument

STEEPEST = 3  # spacing over amplitude; below it more than one patch in a thousand has a fold
OVERSHOOT = 1.25**2  # a cubic through values in [-1, 1] stays within 1.25 along each axis


@views.add("elastic")
@dataclass(frozen=True)
class Elastic(Warp):
    """Bends the picture smoothly, as tissue bends: cubic interpolation of displacements drawn at evenly spaced nodes.

    A point p reads at p + a · u(p): per patch a is even in 0 to `amplitude`, u at a node even in ± 1 along each axis, and
    Catmull-Rom in between. The nodes lie over the crop, one at its centre, whatever warps stand beside. An amplitude
    above a third of the spacing is refused: the tissue would fold over itself.
    """

    identity: ClassVar[Mapping[str, float]] = {"amplitude": 0}

    amplitude: float = argument(3.0, 0, 32, "px", "largest displacement of a node along each axis")
    spacing: float = argument(12.0, 4, 128, "px", "distance between nodes")

    def __post_init__(self) -> None:
        if self.amplitude > self.spacing / STEEPEST:
            raise Mistake(
                f"elastic moves nodes by up to {self.amplitude:g} px that are {self.spacing:g} px apart: the picture would fold.",
                allowed=f"an amplitude of at most {self.spacing / STEEPEST:g} px, a third of the spacing",
            )

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        nodes = upsampling(crop_px, self.spacing).shape[1]
        strength = torch.rand((batch_size, 1, 1, 1), generator=generator) * self.amplitude
        return {"displacement_B2NN": uniform((batch_size, 2, nodes, nodes), 1.0, generator) * strength}

    def source_px(self, x_px: Tensor, y_px: Tensor, drawn: Drawn, crop_px: int) -> tuple[Tensor, Tensor]:
        up_CN = upsampling(crop_px, self.spacing).to(x_px.device)
        moved_B2CC = up_CN @ drawn["displacement_B2NN"] @ up_CN.T
        return moved_B2CC[:, 0] + x_px, moved_B2CC[:, 1] + y_px

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return radius_px + self.amplitude * OVERSHOOT * math.sqrt(2)


@lru_cache(maxsize=16)
def upsampling(crop_px: int, spacing_px: float) -> Tensor:
    """up_CN: from values at nodes to values at pixels along one axis (Catmull-Rom; each row sums to 1)."""
    half = math.ceil((crop_px - 1) / 2 / spacing_px)
    nodes = 2 * half + 3
    at = (torch.arange(crop_px) - (crop_px - 1) / 2) / spacing_px + half + 1
    left = at.floor().clamp(1, nodes - 3)
    t = at - left
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
