"""Looks around a figure at test time: turned by 45°, a few pixels beside, nearer and farther.

For nets that do not change under D4, whose eight views would all say the same.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

SHIFT_PX = 3.0
NEARER = 1.15
# name: (shift right in px, shift down in px, magnification, turn in degrees)
LOOKS: dict[str, tuple[float, float, float, float]] = {
    "identity": (0, 0, 1, 0),
    "turn45": (0, 0, 1, 45),
    "right": (SHIFT_PX, 0, 1, 0),
    "left": (-SHIFT_PX, 0, 1, 0),
    "down": (0, SHIFT_PX, 1, 0),
    "up": (0, -SHIFT_PX, 1, 0),
    "nearer": (0, 0, NEARER, 0),
    "farther": (0, 0, 1 / NEARER, 0),
}


def look(name: str, image_B3CC: Tensor) -> Tensor:
    """The picture read at a shifted, magnified and turned grid (bilinear); past its edge lies its reflection."""
    right_px, down_px, nearer, degrees = LOOKS[name]
    if name == "identity":
        return image_B3CC
    batch, channels, _, side = image_B3CC.shape
    cos, sin = math.cos(math.radians(degrees)) / nearer, math.sin(math.radians(degrees)) / nearer
    matrix = image_B3CC.new_tensor([[cos, -sin, 2 * right_px / side], [sin, cos, 2 * down_px / side]])
    grid = affine_grid(matrix.expand(batch, 2, 3), [batch, channels, side, side], align_corners=False)
    read = grid_sample(image_B3CC, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return read.contiguous(memory_format=torch.channels_last)


def looks() -> list[tuple[str, partial[Tensor]]]:
    """All of LOOKS in their order: pairs of name and function image_B3CC → image_B3CC."""
    return [(name, partial(look, name)) for name in LOOKS]
