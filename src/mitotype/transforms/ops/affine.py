"""Rotation, scale, stretch and shift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.distributions import uniform
from mitotype.transforms.transform import Params, WarpOp, transforms


@transforms.add("affine")
@dataclass(frozen=True)
class Affine(WarpOp):
    """Rotates, scales, stretches along a random axis and shifts the image.

    A point p of the crop is read from the image at  R(angle) · R(axis) diag(stretch, 1/stretch) R(-axis) · p / scale + shift,
    with angle ~ U(± `degrees`), log scale ~ U(± log(1 + `scale`)), log stretch ~ U(± log(1 + `stretch`)), a uniform axis
    and shift ~ U(± `shift`) along each axis.
    """

    degrees: float = argument(180.0, low=0, high=180, unit="°", meaning="largest rotation to either side")
    scale: float = argument(0.15, low=0, high=1, meaning="largest magnification or reduction: by 1 + scale")
    stretch: float = argument(
        0.1, low=0, high=0.5, meaning="largest stretch of one axis over the other: by (1 + stretch)²"
    )
    shift: float = argument(2.0, low=0, high=64, unit="px", meaning="largest shift to each side, along each axis")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {
            "angle_B": uniform((batch_size,), math.radians(self.degrees), generator),
            "log_scale_B": uniform((batch_size,), math.log1p(self.scale), generator),
            "log_stretch_B": uniform((batch_size,), math.log1p(self.stretch), generator),
            "axis_B": uniform((batch_size,), math.pi, generator),
            "shift_B2": uniform((batch_size, 2), self.shift, generator),
        }

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        cos, sin = params["angle_B"].cos(), params["angle_B"].sin()
        even, odd = params["log_stretch_B"].cosh(), params["log_stretch_B"].sinh()
        s11, s22 = even + odd * (2 * params["axis_B"]).cos(), even - odd * (2 * params["axis_B"]).cos()
        s12 = odd * (2 * params["axis_B"]).sin()
        shrink = torch.exp(-params["log_scale_B"])
        a11, a12 = shrink * (cos * s11 - sin * s12), shrink * (cos * s12 - sin * s22)
        a21, a22 = shrink * (sin * s11 + cos * s12), shrink * (sin * s12 + cos * s22)
        a11, a12, a21, a22 = (a.view(-1, 1, 1) for a in (a11, a12, a21, a22))
        shift_x, shift_y = params["shift_B2"][:, :, None, None].unbind(1)
        return (
            torch.addcmul(torch.addcmul(shift_x, a11, x_px), a12, y_px),
            torch.addcmul(torch.addcmul(shift_y, a22, y_px), a21, x_px),
        )

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return radius_px * (1 + self.scale) * (1 + self.stretch) + self.shift * math.sqrt(2)
