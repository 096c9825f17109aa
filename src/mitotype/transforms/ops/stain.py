"""Stain augmentation in optical density: a random matrix near the identity, and jitter of haematoxylin, eosin and DAB."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.distributions import clipped_normal, uniform
from mitotype.transforms.transform import Params, PixelOp, transforms

# Optical density of haematoxylin, eosin and DAB in red, green, blue (Ruifrok and Johnston 2001), one row each.
HED = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
WHITE = 255 / 256  # (255 x + 1) / 256 = WHITE · (x + 1/255)


def transform_density(image_B3CC: Tensor, matrix_B33: Tensor, offset_B3: Tensor) -> Tensor:
    """Return images after OD' = matrix · OD + offset, where OD = -log((255 x + 1) / 256) per channel.

    With l = log(x + 1/255) = -OD - log WHITE this is  l' = matrix · l + log WHITE · (matrix · 1 - 1) - offset.
    """
    batch, _, height, width = image_B3CC.shape
    constant_B31 = (math.log(WHITE) * (matrix_B33.sum(2) - 1) - offset_B3).unsqueeze(2)
    density = image_B3CC.reshape(batch, 3, height * width).add(1 / 255).log_()
    return torch.baddbmm(constant_B31, matrix_B33, density).exp_().sub_(1 / 255).clamp_(0, 1).view_as(image_B3CC)


@transforms.add("stain")
@dataclass(frozen=True)
class Stain(PixelOp):
    """Multiplies optical density by a random matrix near the identity and adds an offset, like another laboratory's stain.

    OD' = gain · (I + strength · N) · OD + offset · n, N (3 × 3) and n (3) standard normal, clipped to ± 2.5, and
    log gain ~ U(± log(1 + `gain`)).
    """

    strength: float = argument(0.1, low=0, high=0.5, meaning="standard deviation of the matrix about the identity")
    offset: float = argument(0.05, low=0, high=0.5, unit="OD", meaning="standard deviation of the offset per channel")
    gain: float = argument(0.2, low=0, high=1, meaning="largest increase or decrease of all channels: by 1 + gain")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        matrix_B33 = torch.eye(3) + self.strength * clipped_normal((batch_size, 3, 3), generator)
        gain_B11 = uniform((batch_size, 1, 1), math.log1p(self.gain), generator).exp_()
        return {
            "matrix_B33": matrix_B33 * gain_B11,
            "offset_B3": self.offset * clipped_normal((batch_size, 3), generator),
        }

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        return transform_density(image_B3CC, params["matrix_B33"], params["offset_B3"])


@transforms.add("hed")
@dataclass(frozen=True)
class Hed(PixelOp):
    """Scales and shifts the amounts of haematoxylin, eosin and DAB independently.

    OD = Sᵀ c; c' = a · c + b per stain, a ~ 1 + U(± `strength`), b ~ U(± `strength`) (in OD). Together they are
    one matrix and one offset in OD.
    """

    source = "Tellez et al. 2018, 10.1109/TMI.2018.2820199; stains of Ruifrok and Johnston 2001"

    strength: float = argument(0.05, low=0, high=0.5, meaning="half-width of both distributions")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        stains_33 = torch.tensor(HED)
        stains_33 = (stains_33 / stains_33.norm(dim=1, keepdim=True)).T.contiguous()
        scale_B3 = 1 + uniform((batch_size, 3), self.strength, generator)
        shift_B3 = uniform((batch_size, 3), self.strength, generator)
        matrix_B33 = (stains_33 * scale_B3[:, None]) @ torch.linalg.inv(stains_33)
        return {"matrix_B33": matrix_B33, "offset_B3": (stains_33 * shift_B3[:, None]).sum(2)}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        return transform_density(image_B3CC, params["matrix_B33"], params["offset_B3"])
