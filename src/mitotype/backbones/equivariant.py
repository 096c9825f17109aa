"""Convolution and norm that turn with their input: the group D4 of the square (Cohen & Welling, arXiv 1602.07576).

A map on the group has 8·C channels, channel = g·C + c with g one of the eight turns and mirrors. Weights are kept once and
expanded to an ordinary convolution, so that nets of this kind run at the speed of ordinary ones with an eighth of the
parameters, and the mean over g and positions does not change when the picture is turned by 90° or mirrored.

Shapes: B patches, O and I base channels out and in, K side of a kernel in px, G 1 (a picture) or 8 (a map on the group).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ORDER = 8


def turned(square_KK: Tensor, element: int) -> Tensor:
    """The picture under a group element: mirrored for elements 4 … 7, then turned by element mod 4 quarter turns."""
    return torch.rot90(square_KK.flip(1) if element >= 4 else square_KK, element % 4, (0, 1))


def _products() -> list[list[int]]:
    """`table[h][g]` is the element that turns by g first and by h then; found on a picture that no element leaves as it is."""
    square = torch.arange(9).view(3, 3)
    orbit = [turned(square, g).tolist() for g in range(ORDER)]
    return [[orbit.index(turned(turned(square, g), h).tolist()) for g in range(ORDER)] for h in range(ORDER)]


PRODUCT = _products()
INVERSE = [row.index(0) for row in PRODUCT]


def expansion(kernel_px: int, inputs: int) -> Tensor:
    """The permutation, as a matrix (8·G·K·K, G·K·K), from kept kernels to those of every output element.

    The kernel from input element g to output element h is the kept kernel of h⁻¹g, turned by h: w_hg = T_h w_{h⁻¹g}.
    """
    place_KK = torch.arange(kernel_px * kernel_px).view(kernel_px, kernel_px)
    area = kernel_px * kernel_px
    rows = []
    for h in range(ORDER):
        source = turned(place_KK, h).reshape(-1)
        for g in range(inputs):
            kept = PRODUCT[INVERSE[h]][g] if inputs == ORDER else 0
            rows.append(functional.one_hot(source + kept * area, inputs * area))
    return torch.cat(rows).float()


class GroupConvolution(nn.Module):
    """`B·(G·I)·H·W` → `B·(8·O)·H'·W'`. `lifts` says that the input is a picture (G = 1) and not yet a map on the group.

    Exactly equivariant for stride 1; for stride 2 where kernel and padding lie evenly on the input (4 px, padding 1, even
    sides).
    """

    matrix: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel_px: int, *, stride: int = 1, padding: int = 0, lifts: bool = False
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.kernel_px = inputs, outputs, kernel_px
        self.stride, self.padding, self.elements = stride, padding, 1 if lifts else ORDER
        width = self.elements * kernel_px * kernel_px
        self.weight = nn.Parameter(torch.randn(outputs, inputs * width) * (2 / (inputs * width)) ** 0.5)
        self.register_buffer("matrix", expansion(kernel_px, self.elements), persistent=False)

    def expanded(self) -> Tensor:
        """The ordinary convolution's weight, (8·O, G·I, K, K)."""
        size = (self.outputs, self.inputs, ORDER, self.elements, self.kernel_px, self.kernel_px)
        kept = self.weight.view(self.outputs * self.inputs, -1)
        weight = functional.linear(kept, self.matrix).view(size).permute(2, 0, 3, 1, 4, 5)
        weight = weight.reshape(ORDER * self.outputs, self.elements * self.inputs, self.kernel_px, self.kernel_px)
        return weight.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.expanded(), stride=self.stride, padding=self.padding)


class GroupNorm(nn.Module):
    """Batch norm of a map on the group; scale, shift and running statistics are one per base channel, so it turns along.

    In training every one of the 8·C channels is normalised by its own batch statistics, which agree in expectation.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, starts_at: float = 1.0) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.full((channels,), starts_at))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.mean.repeat(ORDER), self.variance.repeat(ORDER)
        weight, bias = self.weight.repeat(ORDER), self.bias.repeat(ORDER)
        y = functional.batch_norm(x, mean, variance, weight, bias, self.training, self.momentum, 1e-5)
        if self.training:
            with torch.no_grad():
                self.mean.copy_(mean.view(ORDER, -1).mean(0))
                self.variance.copy_(variance.view(ORDER, -1).mean(0))
        return y
