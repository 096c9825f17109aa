"""Jittered test-time views: the position of a dot in each of them."""

from __future__ import annotations

import pytest
import torch

from mitotype.transforms import tta_views
from mitotype.transforms.tta.around import JITTERS, SHIFT_PX, ZOOM

SIDE = 33  # odd: one pixel is the centre


def dot(down: int, right: int) -> torch.Tensor:
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[:, :, SIDE // 2 + down, SIDE // 2 + right] = 1
    return image


def centre_of_mass(name: str, image: torch.Tensor) -> tuple[float, float]:
    """The centre of mass of the image in a view: (down, right) from the centre in px."""
    mass = dict(tta_views("around"))[name](image)[0, 0]
    position = torch.arange(SIDE, dtype=torch.float32) - SIDE // 2
    return float((mass.sum(1) * position).sum() / mass.sum()), float((mass.sum(0) * position).sum() / mass.sum())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("right", (4.0, 6.0 - SHIFT_PX)), ("left", (4.0, 6.0 + SHIFT_PX)), ("down", (4.0 - SHIFT_PX, 6.0)), ("up", (4.0 + SHIFT_PX, 6.0)),
     ("nearer", (4 * ZOOM, 6 * ZOOM)), ("farther", (4 / ZOOM, 6 / ZOOM)), ("identity", (4.0, 6.0))],
)  # fmt: skip
def test_a_dot_is_moved_as_specified(name: str, expected: tuple[float, float]) -> None:
    assert centre_of_mass(name, dot(4, 6)) == pytest.approx(expected, abs=0.35)


def test_a_rotation_preserves_the_distance() -> None:
    down, right = centre_of_mass("turn45", dot(0, 8))
    assert (down**2 + right**2) ** 0.5 == pytest.approx(8, abs=0.35)
    assert abs(down) == pytest.approx(abs(right), abs=0.35)


def test_views_preserve_shape_and_range() -> None:
    image = torch.rand(2, 3, 64, 64)
    views = tta_views("around")
    assert [name for name, _ in views] == list(JITTERS)
    for _, view in views:
        out = view(image)
        assert out.shape == image.shape
        assert out.min() >= 0
        assert out.max() <= 1
