"""What every view on the shelf keeps: shape, range, seeds, slices, identity, odd sizes, and facts that are whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mitotype.views import Augment, Frame, card, rows_of, views

RANDOM = [name for name in views if views.get(name).kind in ("warp", "pixel")]
FRAMES = [name for name in views if views.get(name).kind == "frame"]


def drawn_with(augment: Augment, image_B3HW: Tensor, seed: int = 0) -> Tensor:
    return augment.apply(image_B3HW, drawn_for(augment, image_B3HW, seed))


def drawn_for(augment: Augment, image_B3HW: Tensor, seed: int = 0) -> dict[str, Tensor]:
    side = min(image_B3HW.shape[2:])
    return augment.draw(len(image_B3HW), torch.Generator().manual_seed(seed), side)


def augment_of(name: str, crop_px: int, bank_K3HW: Tensor, p: str = "") -> Augment:
    """The view alone; with a bank, so that `fourier` too depends on nothing but the patch."""
    return Augment(f"{name}{p} | crop({crop_px})", bank_K3HW=bank_K3HW)


@pytest.mark.parametrize("name", views.names())
def test_facts_are_whole(name: str) -> None:
    view = views.get(name)
    told = card(name, view)
    assert view.kind in ("frame", "warp", "pixel", "crop")
    assert told["says"].endswith(".") and len(told["says"]) < 140
    for argument in view.arguments():
        assert argument.low <= argument.default <= argument.high, argument
        assert argument.meaning
        assert argument.name != "p", "p is the probability of every random step"
    known = {argument.name: argument for argument in view.arguments()}
    for key, value in (view.identity or {}).items():
        assert known[key].low <= value <= known[key].high
    assert view.identity is not None or view.kind in ("frame", "crop") or name in ("d4", "mirror")


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(("batch", "height", "width", "crop_px"), [(3, 128, 128, 64), (1, 45, 52, 33), (2, 33, 47, 32)])
def test_shape_and_range(name: str, batch: int, height: int, width: int, crop_px: int) -> None:
    image_B3HW = torch.randint(0, 256, (batch, 3, height, width), generator=torch.Generator().manual_seed(3)).byte()
    before = image_B3HW.clone()
    out = drawn_with(augment_of(name, crop_px, image_B3HW), image_B3HW)
    assert out.shape == (batch, 3, crop_px, crop_px) and out.dtype == torch.float32
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(image_B3HW, before), "the input is only read"


@pytest.mark.parametrize("name", RANDOM)
def test_float_input_and_no_gradient(name: str, image_B3HW: Tensor) -> None:
    as_float = (image_B3HW / 255).requires_grad_()
    augment = augment_of(name, 32, image_B3HW)
    out = drawn_with(augment, as_float)
    assert not out.requires_grad
    assert torch.allclose(out, drawn_with(augment, image_B3HW), atol=2e-3 if name == "jpeg" else 1e-5)


@pytest.mark.parametrize("name", RANDOM)
def test_same_seed_same_picture(name: str, image_B3HW: Tensor) -> None:
    augment = augment_of(name, 32, image_B3HW)
    first, again, other = (drawn_with(augment, image_B3HW, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert name == "bicubic" or not torch.equal(first, other)


@pytest.mark.parametrize("p", ["", "(p=0.5)"])
@pytest.mark.parametrize("name", RANDOM)
def test_a_slice_equals_the_whole(name: str, p: str, image_B3HW: Tensor) -> None:
    augment = augment_of(name, 32, image_B3HW, p)
    drawn = drawn_for(augment, image_B3HW)
    assert all(len(value) == len(image_B3HW) for value in drawn.values())
    whole = augment.apply(image_B3HW, drawn)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        assert torch.equal(augment.apply(image_B3HW[start:stop], rows_of(drawn, slice(start, stop))), whole[start:stop])


@pytest.mark.parametrize("name", [name for name in RANDOM if views.get(name).identity is not None])
def test_strength_0_changes_nothing(name: str, image_B3HW: Tensor) -> None:
    arguments = ", ".join(f"{key}={value:g}" for key, value in (views.get(name).identity or {}).items())
    out = drawn_with(augment_of(f"{name}({arguments})", 48, image_B3HW), image_B3HW)
    assert torch.allclose(out, Frame("crop(48)")(image_B3HW), atol=2e-5)


@pytest.mark.parametrize("name", RANDOM)
def test_p_0_changes_nothing(name: str, image_B3HW: Tensor) -> None:
    out = drawn_with(augment_of(name, 48, image_B3HW, "(p=0)"), image_B3HW)
    plain = Frame("crop(48)")(image_B3HW)
    exact = views.get(name).kind == "pixel" or name in ("d4", "mirror")
    assert torch.equal(out, plain) if exact else torch.allclose(out, plain, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in RANDOM if views.get(name).kind == "pixel"])
def test_patches_that_do_not_meet_a_step_are_untouched(name: str, image_B3HW: Tensor) -> None:
    augment = augment_of(name, 48, image_B3HW, "(p=0.5)")
    drawn = drawn_for(augment, image_B3HW, seed=2)
    met_B = drawn[f"0.{name}.met_B"]
    assert 0 < met_B.sum() < len(met_B)
    same_B = (augment.apply(image_B3HW, drawn) == Frame("crop(48)")(image_B3HW)).flatten(1).all(1)
    assert same_B.tolist() == [not met for met in met_B.tolist()]


@pytest.mark.parametrize("name", [name for name in RANDOM if views.get(name).kind == "warp"])
def test_a_warp_keeps_a_flat_picture(name: str) -> None:
    flat = torch.full((4, 3, 70, 70), 0.6)
    assert torch.allclose(drawn_with(augment_of(name, 64, flat), flat), torch.tensor(0.6), atol=1e-5)


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_deterministic_and_treat_each_picture_alone(name: str, image_B3HW: Tensor) -> None:
    image_B3HW = image_B3HW[:3, :, :90, :80]
    frame = Frame(f"{name} | crop(64)")
    whole = frame(image_B3HW)
    assert whole.shape == (3, 3, 64, 64) and whole.dtype == torch.float32
    assert torch.isfinite(whole).all() and whole.min() >= 0 and whole.max() <= 1
    assert not torch.allclose(whole, Frame("crop(64)")(image_B3HW), atol=1e-2)
    for row in range(3):
        assert torch.allclose(frame(image_B3HW[row : row + 1]), whole[row : row + 1], atol=1e-5)
    assert torch.allclose(frame(image_B3HW / 255), whole, atol=1e-5)
    assert frame(image_B3HW[:1, :, :65, :71]).shape == (1, 3, 64, 64)
