"""Contracts over the registry of transforms: shape, range, seeds, slices, identity, odd sizes, descriptions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mitotype.core.arguments import arguments_of, summary
from mitotype.transforms import Augment, Frame, slice_params, transforms

RANDOM = [name for name in transforms if transforms.get(name).kind in ("warp", "pixel")]
FRAMES = [name for name in transforms if transforms.get(name).kind == "frame"]
# The arguments at which a random transform changes nothing.
STRENGTH_0 = {
    "affine": "degrees=0, scale=0, stretch=0, shift=0",
    "bicubic": "",
    "blur": "sigma=0",
    "color": "brightness=0, contrast=0, saturation=0, hue=0",
    "defocus": "radius=0",
    "elastic": "amplitude=0",
    "fisheye": "strength=0",
    "fourier": "beta=0",
    "hed": "strength=0",
    "jpeg": "quality=100",
    "noise": "level=0",
    "resized_crop": "least=1, aspect=1",
    "sharpen": "amount=0",
    "stain": "strength=0, offset=0, gain=0",
}


def augmented(augment: Augment, image_B3HW: Tensor, seed: int = 0) -> Tensor:
    return augment.apply(image_B3HW, params_for(augment, image_B3HW, seed))


def params_for(augment: Augment, image_B3HW: Tensor, seed: int = 0) -> dict[str, Tensor]:
    side = min(image_B3HW.shape[2:])
    return augment.sample_params(len(image_B3HW), torch.Generator().manual_seed(seed), side)


def augment_of(name: str, crop_px: int, bank_K3HW: Tensor, p: str = "") -> Augment:
    """The transform alone, with a bank, so that also `fourier` depends on the patch only."""
    return Augment(f"{name}{p} | crop({crop_px})", bank_K3HW=bank_K3HW)


@pytest.mark.parametrize("name", transforms.names())
def test_every_transform_is_described(name: str) -> None:
    op = transforms.get(name)
    assert op.kind in ("torchvision", "frame", "warp", "pixel", "crop")
    assert summary(op).endswith(".") and len(summary(op)) < 140
    for argument in arguments_of(op):
        assert argument.default in argument.choices or argument.low <= argument.default <= argument.high, argument
        assert argument.meaning
        assert argument.name != "p", "p is the probability of every random step"
    assert name in STRENGTH_0 or op.kind in ("torchvision", "frame", "crop") or name in ("d4", "mirror")


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(("batch", "height", "width", "crop_px"), [(3, 128, 128, 64), (1, 45, 52, 33), (2, 33, 47, 32)])
def test_shape_and_range(name: str, batch: int, height: int, width: int, crop_px: int) -> None:
    image_B3HW = torch.randint(0, 256, (batch, 3, height, width), generator=torch.Generator().manual_seed(3)).byte()
    before = image_B3HW.clone()
    out = augmented(augment_of(name, crop_px, image_B3HW), image_B3HW)
    assert out.shape == (batch, 3, crop_px, crop_px) and out.dtype == torch.float32
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(image_B3HW, before), "the input is only read"


@pytest.mark.parametrize("name", RANDOM)
def test_float_input_and_no_gradient(name: str, image_B3HW: Tensor) -> None:
    as_float = (image_B3HW / 255).requires_grad_()
    augment = augment_of(name, 32, image_B3HW)
    out = augmented(augment, as_float)
    assert not out.requires_grad
    assert torch.allclose(out, augmented(augment, image_B3HW), atol=2e-3 if name == "jpeg" else 1e-5)


@pytest.mark.parametrize("name", RANDOM)
def test_same_seed_same_image(name: str, image_B3HW: Tensor) -> None:
    augment = augment_of(name, 32, image_B3HW)
    first, again, other = (augmented(augment, image_B3HW, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert name == "bicubic" or not torch.equal(first, other)


@pytest.mark.parametrize("p", ["", "(p=0.5)"])
@pytest.mark.parametrize("name", RANDOM)
def test_a_slice_of_the_params_gives_a_slice_of_the_batch(name: str, p: str, image_B3HW: Tensor) -> None:
    augment = augment_of(name, 32, image_B3HW, p)
    params = params_for(augment, image_B3HW)
    assert all(len(value) == len(image_B3HW) for value in params.values())
    batch_out = augment.apply(image_B3HW, params)
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        assert torch.equal(
            augment.apply(image_B3HW[start:stop], slice_params(params, slice(start, stop))), batch_out[start:stop]
        )


@pytest.mark.parametrize("name", STRENGTH_0)
def test_strength_0_changes_nothing(name: str, image_B3HW: Tensor) -> None:
    out = augmented(augment_of(f"{name}({STRENGTH_0[name]})", 48, image_B3HW), image_B3HW)
    assert torch.allclose(out, Frame("crop(48)")(image_B3HW), atol=2e-5)


@pytest.mark.parametrize("name", RANDOM)
def test_p_0_changes_nothing(name: str, image_B3HW: Tensor) -> None:
    out = augmented(augment_of(name, 48, image_B3HW, "(p=0)"), image_B3HW)
    plain = Frame("crop(48)")(image_B3HW)
    exact = transforms.get(name).kind == "pixel" or name in ("d4", "mirror")
    assert torch.equal(out, plain) if exact else torch.allclose(out, plain, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in RANDOM if transforms.get(name).kind == "pixel"])
def test_a_step_that_is_not_applied_does_not_touch_the_patch(name: str, image_B3HW: Tensor) -> None:
    augment = augment_of(name, 48, image_B3HW, "(p=0.5)")
    params = params_for(augment, image_B3HW, seed=2)
    applied_B = params[f"0.{name}.applied_B"]
    assert 0 < applied_B.sum() < len(applied_B)
    same_B = (augment.apply(image_B3HW, params) == Frame("crop(48)")(image_B3HW)).flatten(1).all(1)
    assert same_B.tolist() == [not applied for applied in applied_B.tolist()]


@pytest.mark.parametrize("name", [name for name in RANDOM if transforms.get(name).kind == "warp"])
def test_a_warp_of_a_constant_image_is_constant(name: str) -> None:
    constant = torch.full((4, 3, 70, 70), 0.6)
    assert torch.allclose(augmented(augment_of(name, 64, constant), constant), torch.tensor(0.6), atol=1e-5)


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_deterministic_and_independent_of_the_batch(name: str, image_B3HW: Tensor) -> None:
    image_B3HW = image_B3HW[:3, :, :90, :80]
    frame = Frame(f"{name} | crop(64)")
    batch_out = frame(image_B3HW)
    assert batch_out.shape == (3, 3, 64, 64) and batch_out.dtype == torch.float32
    assert torch.isfinite(batch_out).all() and batch_out.min() >= 0 and batch_out.max() <= 1
    assert not torch.allclose(batch_out, Frame("crop(64)")(image_B3HW), atol=1e-2)
    for row in range(3):
        assert torch.allclose(frame(image_B3HW[row : row + 1]), batch_out[row : row + 1], atol=1e-5)
    assert torch.allclose(frame(image_B3HW / 255), batch_out, atol=1e-5)
    assert frame(image_B3HW[:1, :, :65, :71]).shape == (1, 3, 64, 64)
