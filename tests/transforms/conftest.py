"""Images for the tests of transforms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


def smooth(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Coloured blobs, float32 in [0.1, 0.9]: smooth, so that a wrong position shows as a wrong value."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 7, 7, generator=generator) * 0.8 + 0.1
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)


@pytest.fixture
def image_B3HW() -> Tensor:
    """Six tissue-like images with texture, uint8, 128 px."""
    generator = torch.Generator().manual_seed(1)
    texture = smooth(6, 128, 128) + 0.05 * torch.randn(6, 3, 128, 128, generator=generator)
    return texture.mul(255).round().clamp(0, 255).to(torch.uint8)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
