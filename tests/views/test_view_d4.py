"""D4 is a group, exact on pixels, and the views at test time are its elements."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from mitotype.core.mistakes import Mistake
from mitotype.views import Augment, Frame, views_at_test
from mitotype.views.d4 import NAMES, act, inverse, then

GRID = torch.arange(3 * 5 * 5.0).view(1, 3, 5, 5)


def test_closure_and_distinct_elements() -> None:
    pictures = [act(element, GRID) for element in range(8)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(pictures, 2))
    for first, second in itertools.product(range(8), repeat=2):
        assert torch.equal(act(second, act(first, GRID)), pictures[then(first, second)])


def test_identity_and_inverses() -> None:
    assert torch.equal(act(0, GRID), GRID)
    for element in range(8):
        assert then(element, inverse(element)) == then(inverse(element), element) == 0
        assert torch.equal(act(inverse(element), act(element, GRID)), GRID)


def test_associativity() -> None:
    for a, b, c in itertools.product(range(8), repeat=3):
        assert then(then(a, b), c) == then(a, then(b, c))


@pytest.mark.parametrize(("side", "crop_px"), [(128, 64), (65, 33), (70, 33)])
def test_d4_and_a_crop_permute_pixels(side: int, crop_px: int) -> None:
    image_B3HW = torch.randint(0, 256, (8, 3, side, side), generator=torch.Generator().manual_seed(0)).byte()
    augment = Augment(f"d4 | crop({crop_px})")
    out = augment.apply(image_B3HW, {"0.d4.element_B": torch.arange(8)})
    plain = Frame(f"crop({crop_px})")(image_B3HW)
    for element in range(8):
        assert torch.equal(out[element], act(element, plain[element : element + 1])[0])
    assert torch.equal(out[1], torch.rot90(plain[1], 1, (1, 2))) and torch.equal(out[4], plain[4].flip(2))


def test_two_d4_compose() -> None:
    image_B3HW = torch.rand(4, 3, 32, 32)
    drawn = {"0.d4.element_B": torch.tensor([1, 5, 2, 4]), "1.d4.element_B": torch.tensor([4, 3, 6, 7])}
    out = Augment("d4 | d4 | crop(32)").apply(image_B3HW, drawn)
    for row, (first, second) in enumerate(zip([1, 5, 2, 4], [4, 3, 6, 7], strict=True)):
        assert torch.equal(out[row], act(then(first, second), image_B3HW[row : row + 1])[0])


@pytest.mark.parametrize("crop_px", [64, 33])
def test_d4_within_a_resampling_is_the_same_d4(crop_px: int, image_B3HW: Tensor) -> None:
    element_B = torch.tensor([1, 2, 3, 4, 5, 7])
    exact = Augment(f"d4 | crop({crop_px})").apply(image_B3HW, {"0.d4.element_B": element_B})
    sampled = Augment(f"d4 | bicubic | crop({crop_px})").apply(image_B3HW, {"0.d4.element_B": element_B})
    assert torch.allclose(exact, sampled, atol=1e-4)


def test_every_element_is_drawn_about_equally_often(generator: torch.Generator) -> None:
    element_B = Augment("d4 | crop(64)").draw(8000, generator, 64)["0.d4.element_B"]
    assert torch.bincount(element_B, minlength=8).sub(1000).abs().max() < 150


def test_views_at_test_time() -> None:
    image_B3CC = torch.rand(2, 3, 6, 6)
    eight = views_at_test("d4")
    assert [name for name, _ in eight] == list(NAMES)
    assert [name for name, _ in views_at_test(" rot4 ")] == ["identity", "rot90", "rot180", "rot270"]
    assert [name for name, _ in views_at_test("flip")] == ["identity", "flip"]
    assert [name for name, _ in views_at_test("identity")] == ["identity"]
    by_name = dict(eight)
    assert torch.equal(by_name["identity"](image_B3CC), image_B3CC)
    assert torch.equal(by_name["rot90"](image_B3CC), torch.rot90(image_B3CC, 1, (2, 3)))
    assert torch.equal(by_name["flip_rot180"](image_B3CC), image_B3CC.flip(3).rot90(2, (2, 3)))
    assert torch.equal(by_name["rot270"](by_name["rot90"](image_B3CC)), image_B3CC)


@pytest.mark.parametrize("sentence", ["d8", "", "d4 | flip", "d4(2)", "crop(64)"])
def test_views_that_do_not_exist(sentence: str) -> None:
    with pytest.raises(Mistake, match="names no views for test time") as mistake:
        views_at_test(sentence)
    assert "identity, flip, rot4, d4" in str(mistake.value)
