"""D4, the eight symmetries of the square: their table, their action on pictures, and the random one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.view import Drawn, Warp

# Element e = 4 f + k: mirror left and right where f is 1, then turn k quarter turns counter-clockwise.
NAMES = ("identity", "rot90", "rot180", "rot270", "flip", "flip_rot90", "flip_rot180", "flip_rot270")


def act(element: int, image_B3SS: Tensor) -> Tensor:
    """The element applied to square pictures: a permutation of their pixels."""
    mirrored = image_B3SS.flip(3) if element >= 4 else image_B3SS
    return torch.rot90(mirrored, element % 4, (2, 3)) if element % 4 else mirrored


def then(first: int, second: int) -> int:
    """The element that does `first` and after it `second`. A mirror turns the quarter turns before it round."""
    f1, k1, f2, k2 = first // 4, first % 4, second // 4, second % 4
    return 4 * ((f1 + f2) % 2) + ((-k1 if f2 else k1) + k2) % 4


def inverse(element: int) -> int:
    """The element that undoes this one: a mirrored one undoes itself."""
    return element if element >= 4 else -element % 4


@views.add("d4")
@dataclass(frozen=True)
class D4(Warp):
    """One of the eight turns and mirrors of the square, each equally often; exact when no other warp stands beside it."""

    exact: ClassVar[bool] = True
    elements: ClassVar[int] = 8

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {"element_B": torch.randint(0, 8, (batch_size,), generator=generator)}

    def source_px(self, x_px: Tensor, y_px: Tensor, drawn: Drawn, crop_px: int) -> tuple[Tensor, Tensor]:
        element = drawn["element_B"].view(-1, 1, 1)
        turn = (element % 4).float()
        even = turn % 2 == 0
        cos, sin = torch.where(even, 1 - turn, 0.0), torch.where(even, 0.0, 2 - turn)
        mirror = torch.where(element >= 4, -1.0, 1.0)
        return (mirror * cos) * x_px - (mirror * sin) * y_px, sin * x_px + cos * y_px

    def permuted(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        out = torch.empty_like(image_B3CC, memory_format=torch.contiguous_format)
        element_B = drawn["element_B"]
        for element in range(8):
            rows = (element_B == element).nonzero().squeeze(1)
            if len(rows):
                out[rows] = act(element, image_B3CC[rows])
        return out
