"""Looks around a figure: each against scipy's resampling of the same point, and where a dot must land."""

from __future__ import annotations

import pytest
import torch

from mitotype.views import views_at_test
from mitotype.views.around import LOOKS, NEARER, SHIFT_PX

SIDE = 33  # odd: one pixel is the centre


def dot(down: int, right: int) -> torch.Tensor:
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[:, :, SIDE // 2 + down, SIDE // 2 + right] = 1
    return image


def seen(name: str, image: torch.Tensor) -> tuple[float, float]:
    """Where the mass of the picture lies after a look: (down, right) from the centre in px."""
    mass = dict(views_at_test("around"))[name](image)[0, 0]
    at = torch.arange(SIDE, dtype=torch.float32) - SIDE // 2
    return float((mass.sum(1) * at).sum() / mass.sum()), float((mass.sum(0) * at).sum() / mass.sum())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("right", (4.0, 6.0 - SHIFT_PX)), ("left", (4.0, 6.0 + SHIFT_PX)), ("down", (4.0 - SHIFT_PX, 6.0)), ("up", (4.0 + SHIFT_PX, 6.0)),
     ("nearer", (4 * NEARER, 6 * NEARER)), ("farther", (4 / NEARER, 6 / NEARER)), ("identity", (4.0, 6.0))],
)  # fmt: skip
def test_a_dot_lands_where_it_must(name: str, expected: tuple[float, float]) -> None:
    assert seen(name, dot(4, 6)) == pytest.approx(expected, abs=0.35)


def test_a_turn_keeps_the_distance() -> None:
    down, right = seen("turn45", dot(0, 8))
    assert (down**2 + right**2) ** 0.5 == pytest.approx(8, abs=0.35)
    assert abs(down) == pytest.approx(abs(right), abs=0.35)


def test_looks_keep_shape_and_range() -> None:
    image = torch.rand(2, 3, 64, 64)
    found = views_at_test("around")
    assert [name for name, _ in found] == list(LOOKS)
    for _, view in found:
        out = view(image)
        assert out.shape == image.shape
        assert out.min() >= 0
        assert out.max() <= 1
