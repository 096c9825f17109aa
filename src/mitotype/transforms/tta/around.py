"""Jittered test-time views: rotated by 45°, shifted by a few pixels, magnified and shrunk.

For nets that are invariant under D4, whose eight views would all score the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from mitotype.transforms.tta.view_set import TTAView, ViewSet, tta

SHIFT_PX = 3.0
ZOOM = 1.15
# name in the score table: (shift right in px, shift down in px, magnification, rotation in degrees)
JITTERS: dict[str, tuple[float, float, float, float]] = {
    "identity": (0, 0, 1, 0),
    "turn45": (0, 0, 1, 45),
    "right": (SHIFT_PX, 0, 1, 0),
    "left": (-SHIFT_PX, 0, 1, 0),
    "down": (0, SHIFT_PX, 1, 0),
    "up": (0, -SHIFT_PX, 1, 0),
    "nearer": (0, 0, ZOOM, 0),
    "farther": (0, 0, 1 / ZOOM, 0),
}


def jitter(name: str, image_B3CC: Tensor) -> Tensor:
    """Return the image read at a shifted, magnified and rotated grid (bilinear), reflected past its edge."""
    right_px, down_px, zoom, degrees = JITTERS[name]
    if name == "identity":
        return image_B3CC
    batch, channels, _, side = image_B3CC.shape
    cos, sin = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    matrix = image_B3CC.new_tensor([[cos, -sin, 2 * right_px / side], [sin, cos, 2 * down_px / side]])
    grid = affine_grid(matrix.expand(batch, 2, 3), [batch, channels, side, side], align_corners=False)
    out = grid_sample(image_B3CC, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return out.contiguous(memory_format=torch.channels_last)


@tta.add("around")
@dataclass(frozen=True)
class Around(ViewSet):
    """Eight jittered views: rotated by 45°, shifted by 3 px, magnified and shrunk by 15 %."""

    def views(self) -> list[TTAView]:
        return [(name, partial(jitter, name)) for name in JITTERS]
