"""Fourier domain adaptation: low-frequency amplitudes of another image, phases of the image itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.transforms.transform import Params, PixelOp, transforms


@transforms.add("fourier")
@dataclass(frozen=True)
class Fourier(PixelOp):
    """Replaces low-frequency amplitudes, which carry colour and shading, by those of another patch; phases stay.

    F⁻¹( M · |F(target)| + (1 - M) · |F(x)|,  phase of F(x) ) per channel; M is 1 on the centred square of frequencies
    |u|, |v| <= floor(beta · C), C the crop's side. So a beta below 1 / C swaps the mean colour alone, a larger one also
    the shading; 0 changes nothing. The target is a row of the augment's bank, or without a bank another patch of the batch.
    """

    source = "Yang and Soatto, FDA, CVPR 2020, arXiv 2004.05498"
    needs_targets = True

    beta: float = argument(
        0.01, low=0, high=0.1, unit="of the side", meaning="half-size of the square of swapped frequencies"
    )

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        return {"target_B": torch.rand(batch_size, generator=generator)}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        return swap_amplitude(image_B3CC, params["target_B3CC"], self.beta).clamp_(0, 1)


def swap_amplitude(image_B3CC: Tensor, target_B3CC: Tensor, beta: float) -> Tensor:
    """Return the equation of `Fourier`, before values are clipped to [0, 1]."""
    if beta == 0:
        return image_B3CC.clone()
    side = image_B3CC.shape[-1]
    half = math.floor(beta * side)
    own, other = torch.fft.rfft2(image_B3CC), torch.fft.rfft2(target_B3CC)
    rows = ((torch.fft.fftfreq(side) * side).abs().round() <= half).nonzero().squeeze(1).to(image_B3CC.device)
    low = own[:, :, rows, : half + 1]
    own[:, :, rows, : half + 1] = torch.polar(other[:, :, rows, : half + 1].abs(), low.angle())
    return torch.fft.irfft2(own, s=(side, side))
