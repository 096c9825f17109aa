"""Left and right exchanged, for every second patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.view import Drawn, Warp


@views.add("mirror")
@dataclass(frozen=True)
class Mirror(Warp):
    """Exchanges left and right of every second patch; exact when no other warp stands beside it."""

    exact: ClassVar[bool] = True
    elements: ClassVar[int] = 2

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {"mirrored_B": torch.randint(0, 2, (batch_size,), generator=generator)}

    def source_px(self, x_px: Tensor, y_px: Tensor, drawn: Drawn, crop_px: int) -> tuple[Tensor, Tensor]:
        return torch.where(drawn["mirrored_B"].view(-1, 1, 1) > 0, -x_px, x_px), y_px

    def permuted(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        mirrored_B = drawn["mirrored_B"].view(-1, 1, 1, 1) > 0
        return torch.where(mirrored_B, image_B3CC.flip(3), image_B3CC)
