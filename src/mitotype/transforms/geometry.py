"""Positions in images: the centred crop, reflection at the edges, and D4, the eight symmetries of the square."""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.core.errors import UserError
from mitotype.core.schema import MPP_UM

# Element e = 4 f + k of D4: flip left and right where f is 1, then rotate by k quarter turns counter-clockwise.
D4_NAMES = ("identity", "rot90", "rot180", "rot270", "flip", "flip_rot90", "flip_rot180", "flip_rot270")


def crop_start(side_px: int, crop_px: int) -> int:
    """Return the first index of the centred crop: the figure, at side // 2 of the image, is at crop // 2 of the crop."""
    return side_px // 2 - crop_px // 2


def center_crop(image_B3HW: Tensor, crop_px: int) -> Tensor:
    """Return the centred crop as a view of the image."""
    top, left = (crop_start(side, crop_px) for side in image_B3HW.shape[2:])
    return image_B3HW[:, :, top : top + crop_px, left : left + crop_px]


def check_size(image_B3HW: Tensor, needs_px: int, step: str = "") -> None:
    """Raise a UserError for images that are smaller than a step needs ("": the crop), a ValueError for another shape or dtype."""
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"images have the shape B, 3, H, W; got {tuple(image_B3HW.shape)}")
    if image_B3HW.dtype != torch.uint8 and not image_B3HW.is_floating_point():
        raise ValueError(f"images are uint8, or float in [0, 1]; got {image_B3HW.dtype}")
    height, width = image_B3HW.shape[2:]
    if min(height, width) < needs_px:
        raise UserError(
            f"The images are {width} × {height} px; {step or f'crop({needs_px})'} needs {needs_px} px ({needs_px * MPP_UM:g} µm).",
            fix="cut larger images" if step else f"cut larger images, or write crop({min(height, width)})",
        )


def reflect_index(index: Tensor, side: int) -> Tensor:
    """Return indices past either edge reflected about the edge itself: … 1 0 | 0 1 2 …, at any distance."""
    folded = index % (2 * side)
    return torch.where(folded < side, folded, 2 * side - 1 - folded)


def apply_d4(element: int, image_B3SS: Tensor) -> Tensor:
    """Return square images under an element of D4: a permutation of their pixels."""
    flipped = image_B3SS.flip(3) if element >= 4 else image_B3SS
    return torch.rot90(flipped, element % 4, (2, 3)) if element % 4 else flipped
