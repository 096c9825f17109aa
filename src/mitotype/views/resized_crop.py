"""A random part of the picture, drawn out to the whole crop: the crop of ImageNet training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.core.mistakes import Mistake
from mitotype.views import views
from mitotype.views.view import Drawn, Warp, argument


@views.add("resized_crop")
@dataclass(frozen=True)
class ResizedCrop(Warp):
    """Magnifies a random rectangle of the crop to the whole of it (Szegedy et al., arXiv 1409.4842).

    Its share of the area is even in `least` to 1, the logarithm of its aspect even in ± log(`aspect`), its place even; a side
    longer than the crop is cut to it. A figure in the middle is lost more often the smaller `least` is.
    """

    identity: ClassVar[Mapping[str, float]] = {"least": 1, "aspect": 1}

    least: float = argument(0.08, 0.01, 1, "", "least share of the area")
    aspect: float = argument(4 / 3, 1, 4, "", "largest ratio of the sides")

    def __post_init__(self) -> None:
        if self.least > 1:
            raise Mistake(f"resized_crop({self.least:g}) is no share of the area.", allowed="up to 1")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        share_B = self.least + (1 - self.least) * torch.rand(batch_size, generator=generator)
        aspect_B = torch.exp((2 * torch.rand(batch_size, generator=generator) - 1) * math.log(self.aspect))
        side_B2 = torch.stack([(share_B * aspect_B).sqrt(), (share_B / aspect_B).sqrt()], 1).clamp(max=1)
        place_B2 = (torch.rand((batch_size, 2), generator=generator) - 0.5) * (1 - side_B2) * crop_px
        return {"less_B2": side_B2 - 1, "place_B2": place_B2}

    def source_px(self, x_px: Tensor, y_px: Tensor, drawn: Drawn, crop_px: int) -> tuple[Tensor, Tensor]:
        side_x, side_y = (1 + drawn["less_B2"])[:, :, None, None].unbind(1)
        place_x, place_y = drawn["place_B2"][:, :, None, None].unbind(1)
        return torch.addcmul(place_x, side_x, x_px), torch.addcmul(place_y, side_y, y_px)

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        return max(radius_px, crop_px / math.sqrt(2))
