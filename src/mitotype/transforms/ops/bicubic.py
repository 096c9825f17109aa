"""Bicubic resampling."""

from __future__ import annotations

from dataclasses import dataclass

from mitotype.transforms.transform import WarpOp, transforms


@transforms.add("bicubic")
@dataclass(frozen=True)
class Bicubic(WarpOp):
    """Makes the resampling of the warps bicubic instead of bilinear, which preserves fine texture."""

    bicubic = True
