"""Colour as a camera changes it: brightness, contrast, saturation and hue in one matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.affine import uniform
from mitotype.views.view import Drawn, Pixel, argument

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@views.add("colour")
@dataclass(frozen=True)
class Colour(Pixel):
    """Changes brightness, contrast, saturation and hue.

    x' = b · ( c · H · (s · x + (1 - s) · grey(x)) + (1 - c) · mean grey ), with b, c, s even in 1 ± `brightness`,
    ± `contrast`, ± `saturation`, and H the turn about the grey axis by ± `hue` of a full circle.
    """

    identity: ClassVar[Mapping[str, float]] = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}

    brightness: float = argument(0.1, 0, 0.9, "", "largest change of the factor")
    contrast: float = argument(0.1, 0, 0.9, "", "largest change of the factor about the patch's mean grey")
    saturation: float = argument(0.1, 0, 1, "", "largest change of the factor about each pixel's grey")
    hue: float = argument(0.02, 0, 0.5, "of a circle", "largest turn of the hue")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        b, c, s = (
            1 + uniform((batch_size, 1, 1), bound, generator)
            for bound in (self.brightness, self.contrast, self.saturation)
        )
        angle = uniform((batch_size, 1, 1), 2 * math.pi * self.hue, generator)
        grey_33 = torch.tensor(LUMA).expand(3, 3)
        cross_33 = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
        # Rodrigues' formula for the axis (1, 1, 1) / √3
        turn_B33 = angle.cos() * torch.eye(3) + angle.sin() * cross_33 + (1 - angle.cos()) / 3
        matrix_B33 = b * c * (turn_B33 @ (s * torch.eye(3) + (1 - s) * grey_33))
        return {"matrix_B33": matrix_B33, "of_mean_B": (b * (1 - c)).view(-1)}

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        flat_B3P = image_B3CC.reshape(len(image_B3CC), 3, -1)
        luma_3 = torch.tensor(LUMA, device=image_B3CC.device)
        mean_grey_B = (flat_B3P.mean(2) * luma_3).sum(1)
        constant_B31 = (drawn["of_mean_B"] * mean_grey_B).view(-1, 1, 1).expand(-1, 3, 1)
        return torch.baddbmm(constant_B31, drawn["matrix_B33"], flat_B3P).clamp_(0, 1).view_as(image_B3CC)
