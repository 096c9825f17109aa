"""Horizontal flip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.transforms.transform import Params, WarpOp, transforms


@transforms.add("mirror")
@dataclass(frozen=True)
class Mirror(WarpOp):
    """Flips left and right with probability 1/2; exact where no other warp is given."""

    exact = True
    n_elements = 2

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"mirrored_B": torch.randint(0, 2, (batch_size,), generator=generator)}

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        return torch.where(params["mirrored_B"].view(-1, 1, 1) > 0, -x_px, x_px), y_px

    def permute(self, image_B3CC: Tensor, params: Params) -> Tensor:
        mirrored_B = params["mirrored_B"].view(-1, 1, 1, 1) > 0
        return torch.where(mirrored_B, image_B3CC.flip(3), image_B3CC)
