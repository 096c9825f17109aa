"""Fourier domain adaptation: the low frequencies' amplitudes of another picture, the phases of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mitotype.views import views
from mitotype.views.view import Drawn, Pixel, argument


@views.add("fourier")
@dataclass(frozen=True)
class Fourier(Pixel):
    """Takes the low-frequency amplitudes of another patch, which carry its colour and shading, and keeps every phase.

    F⁻¹( M · |F(target)| + (1 - M) · |F(x)|,  phase of F(x) ) per channel; M is 1 on the centred square of frequencies
    |u|, |v| <= floor(beta · C), C the crop's side. So a beta below 1 / C swaps the mean colour alone, and more than that
    lays the target's shading over the patch; 0 changes nothing. The target is a row of the bank that the augment was
    given, else another patch of the batch.
    """

    identity: ClassVar[Mapping[str, float]] = {"beta": 0}
    source: ClassVar[str] = "Yang and Soatto, FDA, CVPR 2020, arXiv 2004.05498"
    needs_targets: ClassVar[bool] = True

    beta: float = argument(0.01, 0, 0.1, "of the side", "half-size of the square of swapped frequencies")

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        return {"target_B": torch.rand(batch_size, generator=generator)}

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        return swap_amplitude(image_B3CC, drawn["target_B3CC"], self.beta).clamp_(0, 1)


def swap_amplitude(image_B3CC: Tensor, target_B3CC: Tensor, beta: float) -> Tensor:
    """The equation of `Fourier`, before values are brought back to [0, 1]."""
    if beta == 0:
        return image_B3CC.clone()
    side = image_B3CC.shape[-1]
    half = math.floor(beta * side)
    own, other = torch.fft.rfft2(image_B3CC), torch.fft.rfft2(target_B3CC)
    rows = ((torch.fft.fftfreq(side) * side).abs().round() <= half).nonzero().squeeze(1).to(image_B3CC.device)
    low = own[:, :, rows, : half + 1]
    own[:, :, rows, : half + 1] = torch.polar(other[:, :, rows, : half + 1].abs(), low.angle())
    return torch.fft.irfft2(own, s=(side, side))


def target_rows(target_B: Tensor, count: int, own: bool) -> Tensor:
    """Which of `count` pictures is each patch's target; `own`: they are the batch itself, and nobody is his own target."""
    if not own:
        return (target_B * count).long().clamp_(max=count - 1)
    step = 1 + (target_B * (count - 1)).long().clamp_(max=max(count - 2, 0))
    return (torch.arange(count, device=target_B.device) + step) % count
