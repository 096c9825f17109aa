"""A random part of the image, resized to the crop, as in ImageNet training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.transform import Params, WarpOp, transforms


@transforms.add("resized_crop")
@dataclass(frozen=True)
class ResizedCrop(WarpOp):
    """Resizes a random rectangle of the crop to the whole of it (Szegedy et al., arXiv 1409.4842).

    Share of the area ~ U(`least`, 1), log aspect ~ U(± log(`aspect`)), uniform position; a side longer than the crop is cut
    to it. The smaller `least`, the more often the figure in the middle is lost.
    """

    least: float = argument(0.08, low=0.01, high=1, meaning="smallest share of the area")
    aspect: float = argument(4 / 3, low=1, high=4, meaning="largest ratio of the sides")

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        share_B = self.least + (1 - self.least) * torch.rand(batch_size, generator=generator)
        aspect_B = torch.exp((2 * torch.rand(batch_size, generator=generator) - 1) * math.log(self.aspect))
        side_B2 = torch.stack([(share_B * aspect_B).sqrt(), (share_B / aspect_B).sqrt()], 1).clamp(max=1)
        centre_B2 = (torch.rand((batch_size, 2), generator=generator) - 0.5) * (1 - side_B2) * crop_px
        return {"side_minus_1_B2": side_B2 - 1, "centre_B2": centre_B2}

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        side_x, side_y = (1 + params["side_minus_1_B2"])[:, :, None, None].unbind(1)
        centre_x, centre_y = params["centre_B2"][:, :, None, None].unbind(1)
        return torch.addcmul(centre_x, side_x, x_px), torch.addcmul(centre_y, side_y, y_px)

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return max(radius_px, crop_px / math.sqrt(2))
