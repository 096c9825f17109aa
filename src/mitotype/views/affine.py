"""Turn, scale, stretch and shift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.view import Drawn, Warp, argument


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Numbers drawn evenly from -bound to bound."""
    return torch.rand(shape, generator=generator).mul_(2).sub_(1).mul_(bound)


@views.add("affine")
@dataclass(frozen=True)
class Affine(Warp):
    """Turns, magnifies, stretches along a random axis and shifts the picture.

    A point p of the crop reads the picture at  R(angle) · R(axis) diag(stretch, 1/stretch) R(-axis) · p / scale + shift,
    with log scale even in ± log(1 + `scale`), log stretch even in ± log(1 + `stretch`), the axis even over the circle.
    """

    identity: ClassVar[Mapping[str, float]] = {"degrees": 0, "scale": 0, "stretch": 0, "shift": 0}

    degrees: float = argument(180.0, 0, 180, "°", "largest turn to either side")
    scale: float = argument(0.15, 0, 1, "", "largest magnification and shrinking: by 1 + scale")
    stretch: float = argument(0.1, 0, 0.5, "", "largest stretch of one axis over the other: by (1 + stretch)²")
    shift: float = argument(2.0, 0, 64, "px", "largest shift to each side, along each axis")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {
            "angle_B": uniform((batch_size,), math.radians(self.degrees), generator),
            "log_scale_B": uniform((batch_size,), math.log1p(self.scale), generator),
            "log_stretch_B": uniform((batch_size,), math.log1p(self.stretch), generator),
            "axis_B": uniform((batch_size,), math.pi, generator),
            "shift_B2": uniform((batch_size, 2), self.shift, generator),
        }

    def source_px(self, x_px: Tensor, y_px: Tensor, drawn: Drawn, crop_px: int) -> tuple[Tensor, Tensor]:
        cos, sin = drawn["angle_B"].cos(), drawn["angle_B"].sin()
        even, odd = drawn["log_stretch_B"].cosh(), drawn["log_stretch_B"].sinh()
        s11, s22 = even + odd * (2 * drawn["axis_B"]).cos(), even - odd * (2 * drawn["axis_B"]).cos()
        s12 = odd * (2 * drawn["axis_B"]).sin()
        shrink = torch.exp(-drawn["log_scale_B"])
        a11, a12 = shrink * (cos * s11 - sin * s12), shrink * (cos * s12 - sin * s22)
        a21, a22 = shrink * (sin * s11 + cos * s12), shrink * (sin * s12 + cos * s22)
        a11, a12, a21, a22 = (a.view(-1, 1, 1) for a in (a11, a12, a21, a22))
        shift_x, shift_y = drawn["shift_B2"][:, :, None, None].unbind(1)
        return (
            torch.addcmul(torch.addcmul(shift_x, a11, x_px), a12, y_px),
            torch.addcmul(torch.addcmul(shift_y, a22, y_px), a21, x_px),
        )

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return radius_px * (1 + self.scale) * (1 + self.stretch) + self.shift * math.sqrt(2)
