"""Stain, colour and Fourier against their equations; normalisation of images whose stains are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mitotype.core.errors import UserError
from mitotype.transforms import Augment, Frame
from mitotype.transforms.distributions import target_index
from mitotype.transforms.ops.color import LUMA
from mitotype.transforms.ops.fourier import Fourier, band, swap_amplitude
from mitotype.transforms.ops.normalize import TARGET_MEAN, TARGET_STD, to_lab
from mitotype.transforms.ops.stain import HED, Hed, Stain, transform_density


def density(image: Tensor) -> Tensor:
    return -torch.log((image.double() * 255 + 1) / 256)


def test_density_equation() -> None:
    image_B3CC = torch.rand(4, 3, 9, 9) * 0.8 + 0.1
    matrix_B33, offset_B3 = torch.eye(3) + 0.05 * torch.randn(4, 3, 3), 0.02 * torch.randn(4, 3)
    expected = (
        torch.einsum("bij,bjhw->bihw", matrix_B33.double(), density(image_B3CC)) + offset_B3.double()[..., None, None]
    )
    out = transform_density(image_B3CC, matrix_B33, offset_B3)
    inside = (out > 0) & (out < 1)
    assert inside.float().mean() > 0.9
    assert torch.allclose(density(out)[inside], expected[inside], atol=1e-5)


def test_a_gain_is_a_power_of_the_transmitted_light() -> None:
    image_B3CC = torch.rand(2, 3, 5, 5)
    out = transform_density(image_B3CC, 1.5 * torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3))
    assert torch.allclose(out, ((256 * ((255 * image_B3CC + 1) / 256) ** 1.5 - 1) / 255).clamp(min=0), atol=1e-5)


def test_stain_params_are_near_the_identity(generator: torch.Generator) -> None:
    params = Stain(strength=0.1, offset=0.05, gain=0).sample_params(4000, generator, 64)
    deviation = params["matrix_B33"] - torch.eye(3)
    assert deviation.abs().max() <= 0.25 + 1e-6 and params["offset_B3"].abs().max() <= 0.125 + 1e-6
    assert abs(deviation.std() - 0.1) < 0.005 and abs(params["offset_B3"].std() - 0.05) < 0.003


def test_hed_scales_and_shifts_the_amounts_of_stain(generator: torch.Generator) -> None:
    params = Hed(0.1).sample_params(300, generator, 64)
    stains_33 = torch.nn.functional.normalize(torch.tensor(HED), dim=1).T
    amount = torch.rand(300, 3, 1)
    out = params["matrix_B33"] @ stains_33 @ amount + params["offset_B3"][..., None]
    estimate = torch.linalg.solve(stains_33, out)
    low, high = amount * 0.9 - 0.1, amount * 1.1 + 0.1
    assert ((estimate >= low - 1e-4) & (estimate <= high + 1e-4)).all()
    assert (estimate - amount).abs().max() > 0.1


def test_colour_on_grey_and_on_its_mean() -> None:
    grey = torch.rand(5, 1, 12, 12).mul(0.4).add(0.3).expand(5, 3, 12, 12)
    for spec in ("color(0, 0, 0.5, 0.3)", "color(0, 0, 0.5, 0)"):
        augment = Augment(f"{spec} | crop(12)")
        out = augment.apply(grey, augment.sample_params(5, torch.Generator().manual_seed(0), 12))
        assert torch.allclose(out, grey, atol=1e-5), "saturation and hue leave grey alone"
    image = torch.rand(5, 3, 12, 12) * 0.4 + 0.3
    luma = torch.tensor(LUMA).view(1, 3, 1, 1)
    contrast = Augment("color(0, 0.4, 0, 0) | crop(12)")
    out = contrast.apply(image, contrast.sample_params(5, torch.Generator().manual_seed(0), 12))
    assert torch.allclose((out * luma).sum(1).mean((1, 2)), (image * luma).sum(1).mean((1, 2)), atol=1e-5)
    bright = Augment("color(0.2, 0, 0, 0) | crop(12)")
    ratio = bright.apply(image, bright.sample_params(5, torch.Generator().manual_seed(0), 12)) / image
    assert ratio.flatten(1).std(1).max() < 1e-5 and ratio.min() >= 0.8 and ratio.max() <= 1.2


def test_a_half_rotation_of_the_hue_mirrors_colour_at_grey() -> None:
    """H rotates about the grey axis: by 180° each colour's distance from its mean of channels changes sign."""
    image = torch.rand(1, 3, 8, 8) * 0.2 + 0.4
    augment = Augment("color(0, 0, 0, 0.5) | crop(8)")
    params = augment.sample_params(1, torch.Generator().manual_seed(0), 8)
    params["0.color.matrix_B33"] = 2 / 3 * torch.ones(1, 3, 3) - torch.eye(3)
    mean = image.mean(1, keepdim=True)
    assert torch.allclose(augment.apply(image, params), 2 * mean - image, atol=1e-5)


def by_brute_force(image: np.ndarray, target: np.ndarray, half: int) -> np.ndarray:
    """Fourier domain adaptation of one channel as the paper's own code does it: shifted spectra, a square, back."""
    own, other = np.fft.fftshift(np.fft.fft2(image)), np.fft.fftshift(np.fft.fft2(target))
    amplitude, phase = np.abs(own), np.angle(own)
    centre = len(image) // 2
    for row in range(centre - half, centre + half + 1):
        for column in range(centre - half, centre + half + 1):
            amplitude[row, column] = np.abs(other[row, column])
    return np.real(np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * phase))))


@pytest.mark.parametrize(("side", "beta", "half"), [(64, 0.01, 0), (64, 0.02, 1), (64, 0.1, 6), (33, 0.1, 3)])
def test_fourier_against_brute_force(side: int, beta: float, half: int) -> None:
    image, target = torch.rand(2, 3, side, side), torch.rand(2, 3, side, side)
    out = swap_amplitude(image, target, beta)
    expected = [[by_brute_force(image[b, c].numpy(), target[b, c].numpy(), half) for c in range(3)] for b in range(2)]
    assert np.abs(out.numpy() - np.array(expected)).max() < 1e-5


def test_fourier_keeps_phase_and_takes_amplitude() -> None:
    image, target = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    own, new, other = (torch.fft.fft2(x) for x in (image, swap_amplitude(image, target, 0.1), target))
    away = (torch.angle(new) - torch.angle(own)).abs()
    assert torch.minimum(away, 2 * torch.pi - away).max() < 1e-3
    assert torch.allclose(new[..., :4, :4].abs(), other[..., :4, :4].abs(), rtol=1e-3, atol=1e-3)
    assert torch.allclose(new[..., 4:28, 4:28].abs(), own[..., 4:28, 4:28].abs(), rtol=1e-3, atol=1e-3)


def test_fourier_identities() -> None:
    image, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert torch.equal(swap_amplitude(image, target, 0.0), image)
    assert torch.allclose(swap_amplitude(image, image, 0.1), image, atol=1e-6)
    assert torch.allclose(swap_amplitude(image, target, 0.01).mean((2, 3)), target.mean((2, 3)), atol=1e-6)


def test_fourier_mixes_amplitudes() -> None:
    image, target = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    assert torch.equal(swap_amplitude(image, target, 0.1, mix=0), image)
    own, new, other = (torch.fft.fft2(x).abs() for x in (image, swap_amplitude(image, target, 0.1, mix=0.3), target))
    expected = 0.7 * own + 0.3 * other
    assert torch.allclose(new[..., :4, :4], expected[..., :4, :4], rtol=1e-3, atol=1e-3)
    flat = torch.zeros(1, 3, 32, 32)
    assert torch.isfinite(swap_amplitude(flat, target, 0.1)).all(), "frequencies of amplitude 0 have no phase"


def test_fourier_moves_more_than_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    image, target = torch.rand(2, 6, 3, 64, 64, generator=generator)
    centred, out = (x - x.mean((2, 3), keepdim=True) for x in (image, swap_amplitude(image, target, Fourier().beta)))
    assert (out - centred).flatten(1).std(1).min() > 0.005


@pytest.mark.parametrize(
    ("spec", "least"), [("fourier(0.01) | crop(64)", "0.0157"), ("fourier(0.02, p=0.5) | crop(48)", "0.0209")]
)
def test_fourier_refuses_a_band_below_one_frequency(spec: str, least: str) -> None:
    with pytest.raises(UserError, match="less than one frequency") as error:
        Augment(spec)
    assert f"write fourier({least})" in str(error.value)
    crop = spec.rpartition("|")[2]
    Augment(f"fourier({least}) | {crop}")
    assert band(float(least), int(crop.strip(" crop()"))) == 1
    Augment(f"fourier(0) | {crop}")


def test_fourier_without_a_crop_is_checked_on_its_images() -> None:
    augment = Augment("fourier(0.01)")
    augment.sample_params(2, torch.Generator(), 128)
    with pytest.raises(UserError, match="on 64 px less than one frequency"):
        augment.sample_params(2, torch.Generator(), 64)


def test_fourier_targets() -> None:
    uniform_B = torch.linspace(0, 0.999, 50)
    for count in (2, 5, 50):
        rows = target_index(uniform_B[:count], count, exclude_self=True)
        assert (rows != torch.arange(count)).all() and rows.min() >= 0 and rows.max() < count
    assert target_index(torch.zeros(1), 1, exclude_self=True).tolist() == [0]
    assert set(target_index(uniform_B, 7, exclude_self=False).tolist()) == set(range(7))


def test_fourier_targets_are_the_bank_if_there_is_one(image_B3HW: Tensor) -> None:
    bank = torch.full((1, 3, 64, 64), 0.25)
    out = Augment("fourier(0.02) | crop(64)", bank_K3HW=bank)
    means = out.apply(image_B3HW, out.sample_params(6, torch.Generator().manual_seed(0), 128)).mean((2, 3))
    assert torch.allclose(means, torch.tensor(0.25), atol=0.02)


def tissue(stains_32: Tensor, seed: int = 0) -> Tensor:
    """An image whose every pixel is a known amount of two stains, a third of it nearly pure in each."""
    generator = torch.Generator().manual_seed(seed)
    amount = torch.rand(2, 64 * 64, generator=generator) * 0.6 + 0.9
    amount[1, : 64 * 20] *= 0.02
    amount[0, -64 * 20 :] *= 0.02
    light = 240 * torch.exp(-stains_32 @ amount) - 1
    return (light / 255).clamp(0, 1).view(1, 3, 64, 64)


def test_macenko_maps_different_stains_onto_each_other() -> None:
    ours = torch.tensor([[0.65, 0.25], [0.70, 0.90], [0.29, 0.36]])
    theirs = torch.tensor([[0.55, 0.20], [0.75, 0.80], [0.37, 0.56]])
    first, second = (Frame("macenko | crop(64)")(tissue(stains)) for stains in (ours, theirs))
    assert (tissue(ours) - tissue(theirs)).abs().mean() > 0.03
    assert (first - second).abs().mean() < 0.01


def test_reinhard_reaches_its_target() -> None:
    image = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.5
    lab = to_lab(Frame("reinhard | crop(64)")(image))
    assert torch.allclose(lab.mean(2), torch.tensor(TARGET_MEAN).expand(3, 3), atol=0.02)
    assert torch.allclose(lab.std(2), torch.tensor(TARGET_STD).expand(3, 3), rtol=0.15, atol=0.005)


@pytest.mark.parametrize("name", ["macenko", "reinhard"])
def test_padding_is_ignored_and_unchanged(name: str) -> None:
    image = tissue(torch.tensor([[0.65, 0.10], [0.70, 0.95], [0.29, 0.30]]))
    padded = torch.cat([image, torch.zeros(1, 3, 64, 64)], 3)
    out = Frame(name)(torch.nn.functional.pad(padded, (0, 0, 0, 64)))
    assert torch.allclose(out[..., :64, :64], Frame(name)(image), atol=1e-4)
    assert torch.all(out[..., 64:] == 0)


@pytest.mark.parametrize("name", ["macenko", "reinhard"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_stay_constant(name: str, value: float) -> None:
    out = Frame(f"{name} | crop(32)")(torch.full((2, 3, 40, 40), value))
    assert torch.isfinite(out).all() and out.flatten(2).std(2).max() < 1e-4
    if name == "macenko":
        assert torch.allclose(out, torch.tensor(value))
