"""A random element of D4, the eight symmetries of the square."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.transforms.geometry import apply_d4
from mitotype.transforms.transform import Params, WarpOp, transforms


@transforms.add("d4")
@dataclass(frozen=True)
class D4(WarpOp):
    """Applies one of the eight rotations and reflections of the square at random; exact where no other warp is given."""

    exact = True
    n_elements = 8

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"element_B": torch.randint(0, 8, (batch_size,), generator=generator)}

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        element = params["element_B"].view(-1, 1, 1)
        quarter = (element % 4).float()
        even = quarter % 2 == 0
        cos, sin = torch.where(even, 1 - quarter, 0.0), torch.where(even, 0.0, 2 - quarter)
        sign = torch.where(element >= 4, -1.0, 1.0)
        return (sign * cos) * x_px - (sign * sin) * y_px, sin * x_px + cos * y_px

    def permute(self, image_B3CC: Tensor, params: Params) -> Tensor:
        out = torch.empty_like(image_B3CC, memory_format=torch.contiguous_format)
        element_B = params["element_B"]
        for element in range(8):
            rows = (element_B == element).nonzero().squeeze(1)
            if len(rows):
                out[rows] = apply_d4(element, image_B3CC[rows])
        return out
