"""The centred square that the net receives. Always the last step of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from mitotype.core.arguments import argument
from mitotype.transforms.transform import CropOp, transforms


@transforms.add("crop")
@dataclass(frozen=True)
class Crop(CropOp):
    """Crops the centred square of `px` (at 0.25 µm/px, so 64 px are 16 µm); warps are resampled straight onto it."""

    px: int = argument(64, low=8, high=1024, unit="px", meaning="side of the square")
