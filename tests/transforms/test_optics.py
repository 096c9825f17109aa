"""Blur, defocus, sharpening, compression and noise against scipy, Pillow and their statistics."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from mitotype.transforms import Augment, Frame
from mitotype.transforms.geometry import reflect_index
from mitotype.transforms.ops.noise import N_STARTS
from mitotype.transforms.ops.optics import gaussian


@pytest.mark.parametrize("side", [64, 33, 9])
def test_gaussian_against_scipy(side: int) -> None:
    image_B3CC, sigma_B = torch.rand(3, 3, side, side), torch.tensor([0.4, 1.3, 2.5])
    out = gaussian(image_B3CC, sigma_B, 8)
    for image, sigma, blurred in zip(image_B3CC, sigma_B, out, strict=True):
        expected = ndimage.gaussian_filter(
            image.numpy(), (0, float(sigma), float(sigma)), mode="reflect", radius=(0, 8, 8)
        )
        assert np.abs(blurred.numpy() - expected).max() < 1e-5


def test_reflected_indices() -> None:
    assert reflect_index(torch.arange(-4, 8), 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1][:12]


@pytest.mark.parametrize("radius", [0.3, 1.0, 1.7, 3.0])
def test_defocus_against_scipy(radius: float, image_B3HW: Tensor) -> None:
    offsets = np.arange(-4, 5)
    disc = np.clip(radius + 0.5 - np.hypot(offsets[:, None], offsets[None]), 0, 1)
    plain = Frame("crop(40)")(image_B3HW)
    out = Augment("defocus(3) | crop(40)").apply(image_B3HW, {"0.defocus.radius_B": torch.full((6,), radius)})
    expected = ndimage.convolve(plain.numpy(), (disc / disc.sum())[None, None], mode="reflect")
    assert np.abs(out.numpy() - expected).max() < 1e-5


def test_sharpen_is_the_unsharp_mask(image_B3HW: Tensor) -> None:
    plain = Frame("crop(40)")(image_B3HW)
    out = Augment("sharpen(2, 1.2) | crop(40)").apply(image_B3HW, {"0.sharpen.amount_B": torch.full((6,), 1.5)})
    blurred = gaussian(plain.contiguous(), torch.full((6,), 1.2), 4)
    assert torch.allclose(out, (plain + 1.5 * (plain - blurred)).clamp(0, 1), atol=1e-5)
    assert out.diff(dim=3).abs().mean() > 1.5 * plain.diff(dim=3).abs().mean()


@pytest.mark.parametrize("quality", [10, 50, 85])
def test_jpeg_against_pillow(quality: int, image_B3HW: Tensor) -> None:
    image_B3HW = ndimage.gaussian_filter(image_B3HW.numpy(), (0, 0, 0.8, 0.8))
    plain = Frame("crop(64)")(torch.from_numpy(image_B3HW))
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    out = Augment("jpeg(10) | crop(64)").apply(plain, {"0.jpeg.percent_B": torch.full((6,), float(percent))})
    for ours, image in zip(out, plain, strict=True):
        file = io.BytesIO()
        pixels = (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
        theirs = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
        loss = (image - theirs).abs().mean()
        assert (ours - theirs).abs().mean() < min(0.5 * loss, 1.2 / 255), "Pillow rounds planes and pixels, we do not"


def test_noise_statistics() -> None:
    grey = torch.full((64, 3, 64, 64), 0.5)
    params = Augment("noise(0.1) | crop(64)").sample_params(64, torch.Generator().manual_seed(0), 64)
    params["0.noise.level_B"] = torch.full((64,), 0.05)
    noise = Augment("noise(0.1) | crop(64)").apply(grey, params) - 0.5
    assert abs(noise.std() - 0.05) < 5e-4 and abs(noise.mean()) < 5e-4
    channels = noise.transpose(0, 1).flatten(1)
    assert torch.corrcoef(channels).sub(torch.eye(3)).abs().max() < 0.02
    assert abs((noise[..., 1:] * noise[..., :-1]).mean()) < 2e-5, "neighbours are independent"
    assert len(set(params["0.noise.start_B"].tolist())) == 64


def test_noise_wraps_around_the_end_of_its_array() -> None:
    grey = torch.full((2, 3, 16, 16), 0.5)
    params = {"0.noise.start_B": torch.tensor([N_STARTS - 1, 0]), "0.noise.level_B": torch.full((2,), 0.1)}
    last, first = Augment("noise(0.1) | crop(16)").apply(grey, params).contiguous().flatten(1)
    assert torch.equal(last[1:], first[:-1])
