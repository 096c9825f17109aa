"""D4 is a group, exact on pixels, and the test-time views are its elements."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from mitotype.core.errors import UserError
from mitotype.transforms import Augment, Frame, tta_views
from mitotype.transforms.geometry import D4_NAMES, apply_d4

GRID = torch.arange(3 * 5 * 5.0).view(1, 3, 5, 5)


def compose(first: int, second: int) -> int:
    """The element `first` followed by `second`. A reflection inverts the rotation before it."""
    f1, k1, f2, k2 = first // 4, first % 4, second // 4, second % 4
    return 4 * ((f1 + f2) % 2) + ((-k1 if f2 else k1) + k2) % 4


def inverse(element: int) -> int:
    """The inverse element: a reflection is its own inverse."""
    return element if element >= 4 else -element % 4


def test_closure_and_distinct_elements() -> None:
    images = [apply_d4(element, GRID) for element in range(8)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(images, 2))
    for first, second in itertools.product(range(8), repeat=2):
        assert torch.equal(apply_d4(second, apply_d4(first, GRID)), images[compose(first, second)])


def test_identity_and_inverses() -> None:
    assert torch.equal(apply_d4(0, GRID), GRID)
    for element in range(8):
        assert compose(element, inverse(element)) == compose(inverse(element), element) == 0
        assert torch.equal(apply_d4(inverse(element), apply_d4(element, GRID)), GRID)


def test_associativity() -> None:
    for a, b, c in itertools.product(range(8), repeat=3):
        assert compose(compose(a, b), c) == compose(a, compose(b, c))


@pytest.mark.parametrize(("side", "crop_px"), [(128, 64), (65, 33), (70, 33)])
def test_d4_and_a_crop_permute_pixels(side: int, crop_px: int) -> None:
    image_B3HW = torch.randint(0, 256, (8, 3, side, side), generator=torch.Generator().manual_seed(0)).byte()
    augment = Augment(f"d4 | crop({crop_px})")
    out = augment.apply(image_B3HW, {"0.d4.element_B": torch.arange(8)})
    plain = Frame(f"crop({crop_px})")(image_B3HW)
    for element in range(8):
        assert torch.equal(out[element], apply_d4(element, plain[element : element + 1])[0])
    assert torch.equal(out[1], torch.rot90(plain[1], 1, (1, 2))) and torch.equal(out[4], plain[4].flip(2))


def test_two_d4_compose() -> None:
    image_B3HW = torch.rand(4, 3, 32, 32)
    params = {"0.d4.element_B": torch.tensor([1, 5, 2, 4]), "1.d4.element_B": torch.tensor([4, 3, 6, 7])}
    out = Augment("d4 | d4 | crop(32)").apply(image_B3HW, params)
    for row, (first, second) in enumerate(zip([1, 5, 2, 4], [4, 3, 6, 7], strict=True)):
        assert torch.equal(out[row], apply_d4(compose(first, second), image_B3HW[row : row + 1])[0])


@pytest.mark.parametrize("crop_px", [64, 33])
def test_d4_within_a_resampling_is_the_same_d4(crop_px: int, image_B3HW: Tensor) -> None:
    element_B = torch.tensor([1, 2, 3, 4, 5, 7])
    exact = Augment(f"d4 | crop({crop_px})").apply(image_B3HW, {"0.d4.element_B": element_B})
    sampled = Augment(f"d4 | bicubic | crop({crop_px})").apply(image_B3HW, {"0.d4.element_B": element_B})
    assert torch.allclose(exact, sampled, atol=1e-4)


def test_every_element_is_about_equally_frequent(generator: torch.Generator) -> None:
    element_B = Augment("d4 | crop(64)").sample_params(8000, generator, 64)["0.d4.element_B"]
    assert torch.bincount(element_B, minlength=8).sub(1000).abs().max() < 150


def test_test_time_views() -> None:
    image_B3CC = torch.rand(2, 3, 6, 6)
    eight = tta_views("d4")
    assert [name for name, _ in eight] == list(D4_NAMES)
    assert [name for name, _ in tta_views(" rot4 ")] == ["identity", "rot90", "rot180", "rot270"]
    assert [name for name, _ in tta_views("flip")] == ["identity", "flip"]
    assert [name for name, _ in tta_views("identity")] == ["identity"]
    by_name = dict(eight)
    assert torch.equal(by_name["identity"](image_B3CC), image_B3CC)
    assert torch.equal(by_name["rot90"](image_B3CC), torch.rot90(image_B3CC, 1, (2, 3)))
    assert torch.equal(by_name["flip_rot180"](image_B3CC), image_B3CC.flip(3).rot90(2, (2, 3)))
    assert torch.equal(by_name["rot270"](by_name["rot90"](image_B3CC)), image_B3CC)


@pytest.mark.parametrize("text", ["d8", "", "d4 | flip", "crop(64)"])
def test_unknown_test_time_views(text: str) -> None:
    with pytest.raises(UserError, match="test-time views") as error:
        tta_views(text)
    assert "mitotype tta" in str(error.value)
    with pytest.raises(UserError, match="takes none"):
        tta_views("d4(2)")
