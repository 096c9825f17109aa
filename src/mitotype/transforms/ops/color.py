"""Colour jitter: brightness, contrast, saturation and hue in one matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.distributions import uniform
from mitotype.transforms.transform import Params, PixelOp, transforms

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@transforms.add("color", aliases=("colour",))
@dataclass(frozen=True)
class Color(PixelOp):
    """Changes brightness, contrast, saturation and hue.

    x' = b · ( c · H · (s · x + (1 - s) · grey(x)) + (1 - c) · mean grey ), with b, c, s ~ 1 + U(± `brightness`),
    U(± `contrast`), U(± `saturation`), and H the rotation about the grey axis by U(± `hue`) of a full circle.
    """

    brightness: float = argument(0.1, low=0, high=0.9, meaning="largest change of the factor")
    contrast: float = argument(0.1, low=0, high=0.9, meaning="largest change of the factor about the patch's mean grey")
    saturation: float = argument(0.1, low=0, high=1, meaning="largest change of the factor about each pixel's grey")
    hue: float = argument(0.02, low=0, high=0.5, unit="of a circle", meaning="largest rotation of the hue")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        b, c, s = (
            1 + uniform((batch_size, 1, 1), bound, generator)
            for bound in (self.brightness, self.contrast, self.saturation)
        )
        angle = uniform((batch_size, 1, 1), 2 * math.pi * self.hue, generator)
        grey_33 = torch.tensor(LUMA).expand(3, 3)
        cross_33 = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
        # Rodrigues' formula for the axis (1, 1, 1) / √3
        rotation_B33 = angle.cos() * torch.eye(3) + angle.sin() * cross_33 + (1 - angle.cos()) / 3
        matrix_B33 = b * c * (rotation_B33 @ (s * torch.eye(3) + (1 - s) * grey_33))
        return {"matrix_B33": matrix_B33, "mean_weight_B": (b * (1 - c)).view(-1)}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        flat_B3P = image_B3CC.reshape(len(image_B3CC), 3, -1)
        luma_3 = torch.tensor(LUMA, device=image_B3CC.device)
        mean_grey_B = (flat_B3P.mean(2) * luma_3).sum(1)
        constant_B31 = (params["mean_weight_B"] * mean_grey_B).view(-1, 1, 1).expand(-1, 3, 1)
        return torch.baddbmm(constant_B31, params["matrix_B33"], flat_B3P).clamp_(0, 1).view_as(image_B3CC)
