"""The centred square that the net sees. Always the last step of a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.core.mistakes import Mistake
from mitotype.core.words import MPP_UM
from mitotype.views import views
from mitotype.views.view import View, argument


@views.add("crop")
@dataclass(frozen=True)
class Crop(View):
    """Keeps the centred square of so many px (at 0.25 µm/px, so 64 px are 16 µm); warps sample straight onto it."""

    kind: ClassVar[str] = "crop"

    px: int = argument(64, 8, 1024, "px", "side of the square")


def window(side_px: int, crop_px: int) -> int:
    """First index of the centred crop: the figure, at side // 2 in the picture, sits at crop // 2 in the crop."""
    return side_px // 2 - crop_px // 2


def centred(image_B3HW: Tensor, crop_px: int) -> Tensor:
    """The crop as a part of the picture, not a copy."""
    top, left = (window(side, crop_px) for side in image_B3HW.shape[2:])
    return image_B3HW[:, :, top : top + crop_px, left : left + crop_px]


def check_size(image_B3HW: Tensor, crop_px: int) -> None:
    """Raise a Mistake where the pictures are smaller than the crop, a ValueError where they are no pictures."""
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"pictures have the shape B, 3, H, W; this is {tuple(image_B3HW.shape)}")
    if image_B3HW.dtype != torch.uint8 and not image_B3HW.is_floating_point():
        raise ValueError(f"pictures are uint8, or float in [0, 1]; this is {image_B3HW.dtype}")
    height, width = image_B3HW.shape[2:]
    if min(height, width) < crop_px:
        raise Mistake(
            f"The pictures are {width} × {height} px; crop({crop_px}) needs {crop_px} px ({crop_px * MPP_UM:g} µm).",
            fix=f"cut larger pictures, or write crop({min(height, width)})",
        )
