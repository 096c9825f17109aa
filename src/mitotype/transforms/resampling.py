"""All warps of a spec as one resampling of the image straight onto the crop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from mitotype.transforms.geometry import center_crop, crop_start
from mitotype.transforms.transform import Params, WarpOp


def as_float(image_B3HW: Tensor) -> Tensor:
    """Return float32 in [0, 1], always a new, contiguous tensor; uint8 is divided by 255."""
    if image_B3HW.dtype == torch.uint8:
        return image_B3HW.contiguous().float().div_(255)
    return image_B3HW.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


class Buffer:
    """A reused float32 tensor: allocating memory of this size costs more than the work that is done in it."""

    def __init__(self) -> None:
        self._tensor: Tensor | None = None

    def copy(self, image_B3HW: Tensor) -> Tensor:
        """Return the image as contiguous float32, valid until the next call."""
        image_B3HW = image_B3HW.contiguous()  # converting a strided part of an image costs tenfold
        if self._tensor is None or self._tensor.shape != image_B3HW.shape or self._tensor.device != image_B3HW.device:
            self._tensor = torch.empty(image_B3HW.shape, device=image_B3HW.device)
        return self._tensor.copy_(image_B3HW)


def resample(
    image_B3HW: Tensor, warps: Sequence[tuple[WarpOp, Params]], crop_px: int, buffer: Buffer | None = None
) -> Tensor:
    """Return image_B3CC, float32 in [0, 1], new and contiguous: the image after `warps`, in the order of the spec.

    A point of the crop is mapped back through the warps, last one first, and read from the image by bilinear (or
    bicubic) interpolation. Past its edge the image is reflected. Where all warps are exact nothing is interpolated.
    """
    if all(warp.exact for warp, _ in warps):
        image_B3CC = as_float(center_crop(image_B3HW, crop_px))
        for warp, params in warps:
            image_B3CC = warp.permute(image_B3CC, params)
        return image_B3CC

    axis_C = torch.arange(crop_px, device=image_B3HW.device) - (crop_px - 1) / 2
    x_px, y_px = axis_C.view(1, 1, -1), axis_C.view(1, -1, 1)
    radius_px = (crop_px - 1) / 2 * math.sqrt(2)
    for warp, params in reversed(warps):
        x_px, y_px = warp.source_px(x_px, y_px, params, crop_px)
        radius_px = warp.reach_px(radius_px, crop_px)

    rows, y_centre = _source_range(image_B3HW.shape[2], crop_px, radius_px)
    columns, x_centre = _source_range(image_B3HW.shape[3], crop_px, radius_px)
    region = (buffer or Buffer()).copy(image_B3HW[:, :, rows, columns])
    height, width = region.shape[2:]
    # grid_sample's own coordinates (align_corners=False): pixel i of n is at (2 i + 1) / n - 1
    grid_BCC2 = torch.empty(len(region), crop_px, crop_px, 2, device=region.device)
    for axis, (source_px, centre, side) in enumerate(((x_px, x_centre, width), (y_px, y_centre, height))):
        start = torch.full((), (2 * centre + 1) / side - 1, device=region.device)
        torch.add(start, source_px.expand(grid_BCC2.shape[:3]), alpha=2 / side, out=grid_BCC2[..., axis])
    mode = "bicubic" if any(warp.bicubic for warp, _ in warps) else "bilinear"
    out = grid_sample(region, grid_BCC2, mode=mode, padding_mode="reflection", align_corners=False)
    if image_B3HW.dtype == torch.uint8:
        out.div_(255)
    return out.clamp_(0, 1)


def _source_range(side_px: int, crop_px: int, radius_px: float) -> tuple[slice, float]:
    """Return, along one axis, the part of the image that can be read, and the crop's centre in that part."""
    centre = crop_start(side_px, crop_px) + (crop_px - 1) / 2
    low = max(0, math.floor(centre - radius_px) - 2)
    high = min(side_px, math.ceil(centre + radius_px) + 3)
    return slice(low, high), centre - low
