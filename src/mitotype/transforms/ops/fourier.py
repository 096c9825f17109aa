"""Fourier domain adaptation: low-frequency amplitudes of another image, phases of the image itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.transforms.transform import Params, PixelOp, transforms


@transforms.add("fourier")
@dataclass(frozen=True)
class Fourier(PixelOp):
    """Replaces low-frequency amplitudes, which carry colour and shading, by those of another image; phases stay.

    F⁻¹( (1 - m M) · |F(x)| + m M · |F(target)|,  phase of F(x) ) per channel, m = `mix`; M is 1 on the centred square of
    frequencies |u|, |v| <= floor(beta · C), C the crop's side, and 0 outside. A beta between 0 and 1 / C is an error: it would
    move the mean colour alone. With beta or mix 0 nothing changes. In a recipe the target is a random crop of the images of its
    field `fourier_targets`; of an Augment it is a row of the bank, or without a bank another patch of the batch.
    """

    source = "Yang and Soatto, FDA, CVPR 2020, arXiv 2004.05498, where m = 1 and beta is 0.01, 0.05 or 0.09 on sides of 512 px or more"
    needs_targets = True

    beta: float = argument(
        0.05, low=0, high=0.5, unit="of the side", meaning="half-size of the square of replaced frequencies"
    )
    mix: float = argument(1.0, low=0, high=1, meaning="share of the target's amplitudes, 1: replaced")

    def check_crop(self, crop_px: int) -> None:
        if self.beta and band(self.beta, crop_px) < 1:
            least = math.ceil(1e4 / crop_px) / 1e4
            raise UserError(
                f"beta of fourier is {self.beta:g}, on {crop_px} px less than one frequency: only the mean color would move.",
                allowed=f"{least:g} to 0.5 on {crop_px} px, or 0 for no change",
                fix=f"write fourier({least:g})",
            )

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        self.check_crop(crop_px)
        return {"target_B": torch.rand(batch_size, generator=generator)}

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        return swap_amplitude(image_B3CC, params["target_B3CC"], self.beta, self.mix).clamp_(0, 1)


def band(beta: float, crop_px: int) -> int:
    """Return the highest frequency of the square, in periods per side."""
    return math.floor(beta * crop_px)


def swap_amplitude(image_B3CC: Tensor, target_B3CC: Tensor, beta: float, mix: float = 1.0) -> Tensor:
    """Return the equation of `Fourier`, before values are clipped to [0, 1]."""
    if beta == 0 or mix == 0:
        return image_B3CC.clone()
    side = image_B3CC.shape[-1]
    half = band(beta, side)
    own, other = (torch.view_as_real(torch.fft.rfft2(x)) for x in (image_B3CC, target_B3CC))
    rows = ((torch.fft.fftfreq(side) * side).abs().round() <= half).nonzero().squeeze(1).to(image_B3CC.device)
    low, target = own[:, :, rows, : half + 1], other[:, :, rows, : half + 1]
    # products, sums and roots alone, which round alike for a part of a batch; sine and arc tangent do not
    amplitude, target_amplitude = ((x * x).sum(-1, keepdim=True).sqrt() for x in (low, target))
    mixed = amplitude * (1 - mix) + target_amplitude * mix
    own[:, :, rows, : half + 1] = low / amplitude.clamp(min=torch.finfo(low.dtype).tiny) * mixed
    return torch.fft.irfft2(torch.view_as_complex(own), s=(side, side))
