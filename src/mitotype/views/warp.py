"""All warps of a sentence as one resampling of the picture straight onto the crop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from mitotype.views import views
from mitotype.views.crop import centred, window
from mitotype.views.view import Drawn, Warp


@views.add("bicubic")
@dataclass(frozen=True)
class Bicubic(Warp):
    """Moves nothing; makes the sentence's resampling bicubic instead of bilinear, which keeps fine texture sharp."""

    identity: ClassVar[Mapping[str, float]] = {}


def as_float(image_B3HW: Tensor) -> Tensor:
    """float32 in [0, 1]; always a new, contiguous tensor. Bytes are divided by 255."""
    if image_B3HW.dtype == torch.uint8:
        return image_B3HW.contiguous().float().div_(255)
    return image_B3HW.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


class Room:
    """One float32 array that is filled again and again: fresh memory of this size costs more than what is done in it."""

    def __init__(self) -> None:
        self._kept: Tensor | None = None

    def numbers(self, image_B3HW: Tensor) -> Tensor:
        """float32 of the same values, contiguous; good until the next call."""
        whole = image_B3HW.contiguous()  # converting a part of a picture as it lies costs tenfold
        if self._kept is None or self._kept.shape != whole.shape or self._kept.device != whole.device:
            self._kept = torch.empty(whole.shape, device=whole.device)
        return self._kept.copy_(whole)


def resample(image_B3HW: Tensor, warps: Sequence[tuple[Warp, Drawn]], crop_px: int, room: Room | None = None) -> Tensor:
    """image_B3CC, float32 in [0, 1], new and contiguous: the picture after `warps`, in the order of the sentence.

    A point of the crop is led back through the warps, last one first, and read from the picture with bilinear (or
    bicubic) weights. Past the picture's edge lies its reflection. Where all warps are exact no weight is reckoned.
    """
    if all(warp.exact for warp, _ in warps):
        image_B3CC = as_float(centred(image_B3HW, crop_px))
        for warp, drawn in warps:
            image_B3CC = warp.permuted(image_B3CC, drawn)
        return image_B3CC

    axis_C = torch.arange(crop_px, device=image_B3HW.device) - (crop_px - 1) / 2
    x_px, y_px = axis_C.view(1, 1, -1), axis_C.view(1, -1, 1)
    radius_px = (crop_px - 1) / 2 * math.sqrt(2)
    for warp, drawn in reversed(warps):
        x_px, y_px = warp.source_px(x_px, y_px, drawn, crop_px)
        radius_px = warp.reach_px(radius_px, crop_px)

    rows, y_centre = _read(image_B3HW.shape[2], crop_px, radius_px)
    columns, x_centre = _read(image_B3HW.shape[3], crop_px, radius_px)
    region = (room or Room()).numbers(image_B3HW[:, :, rows, columns])
    height, width = region.shape[2:]
    # grid_sample's own coordinates (align_corners=False): pixel i of n lies at (2 i + 1) / n - 1
    grid_BCC2 = torch.empty(len(region), crop_px, crop_px, 2, device=region.device)
    for axis, (at_px, centre, side) in enumerate(((x_px, x_centre, width), (y_px, y_centre, height))):
        start = torch.full((), (2 * centre + 1) / side - 1, device=region.device)
        torch.add(start, at_px.expand(grid_BCC2.shape[:3]), alpha=2 / side, out=grid_BCC2[..., axis])
    cubic = any(isinstance(warp, Bicubic) for warp, _ in warps)
    mode = "bicubic" if cubic else "bilinear"
    out = grid_sample(region, grid_BCC2, mode=mode, padding_mode="reflection", align_corners=False)
    if image_B3HW.dtype == torch.uint8:
        out.div_(255)
    return out.clamp_(0, 1)


def _read(side_px: int, crop_px: int, radius_px: float) -> tuple[slice, float]:
    """Along one axis: the part of the picture that can be read, and the place of the crop's centre in it."""
    centre = window(side_px, crop_px) + (crop_px - 1) / 2
    low = max(0, math.floor(centre - radius_px) - 2)
    high = min(side_px, math.ceil(centre + radius_px) + 3)
    return slice(low, high), centre - low
