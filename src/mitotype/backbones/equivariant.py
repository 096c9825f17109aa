"""Convolution and batch norm equivariant to D4, the rotations by 90° and reflections of the square (Cohen & Welling, arXiv 1602.07576).

A feature map on the group has 8·C channels, channel = g·C + c with g one of the eight elements. The weights are expanded to
those of an ordinary convolution, so that these nets run as fast as ordinary ones with an eighth of the parameters. The mean
over g and positions does not change when the image is rotated by 90° or mirrored.

Shapes: B patches, O and I base channels out and in, K side of a kernel in px, G 1 (an image) or 8 (a map on the group).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ORDER = 8


def transform_square(square_KK: Tensor, element: int) -> Tensor:
    """Return a square under a group element: mirrored for elements 4 … 7, then rotated by element mod 4 quarter turns."""
    return torch.rot90(square_KK.flip(1) if element >= 4 else square_KK, element % 4, (0, 1))


def _group_products() -> list[list[int]]:
    """Return `table[h][g]`, the element that applies g first and then h, read off a square without symmetry."""
    square = torch.arange(9).view(3, 3)
    orbit = [transform_square(square, g).tolist() for g in range(ORDER)]
    return [
        [orbit.index(transform_square(transform_square(square, g), h).tolist()) for g in range(ORDER)]
        for h in range(ORDER)
    ]


PRODUCT = _group_products()
INVERSE = [row.index(0) for row in PRODUCT]


def expansion_matrix(kernel_px: int, elements: int) -> Tensor:
    """Return the permutation matrix (8·G·K·K, G·K·K) from stored kernels to those of every output element.

    The kernel from input element g to output element h is the stored kernel of h⁻¹g under h: w_hg = T_h w_{h⁻¹g}.
    """
    area = kernel_px * kernel_px
    index_KK = torch.arange(area).view(kernel_px, kernel_px)
    rows = []
    for h in range(ORDER):
        source = transform_square(index_KK, h).reshape(-1)
        for g in range(elements):
            stored = PRODUCT[INVERSE[h]][g] if elements == ORDER else 0
            rows.append(functional.one_hot(source + stored * area, elements * area))
    return torch.cat(rows).float()


class D4Conv2d(nn.Module):
    """`B·(G·I)·H·W` → `B·(8·O)·H'·W'`. A `lifting` convolution takes an image (G = 1), any other a map on the group.

    Exactly equivariant for stride 1, and for stride 2 where kernel and padding cover the input evenly (4 px, padding 1, even
    sides).
    """

    matrix: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        *,
        stride: int = 1,
        padding: int = 0,
        lifting: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_px = in_channels, out_channels, kernel_px
        self.stride, self.padding, self.elements = stride, padding, 1 if lifting else ORDER
        fan_in = in_channels * self.elements * kernel_px * kernel_px
        self.weight = nn.Parameter(torch.randn(out_channels, fan_in) * (2 / fan_in) ** 0.5)
        self.register_buffer("matrix", expansion_matrix(kernel_px, self.elements), persistent=False)

    def expanded_weight(self) -> Tensor:
        """Return the weight of the ordinary convolution, (8·O, G·I, K, K)."""
        size = (self.out_channels, self.in_channels, ORDER, self.elements, self.kernel_px, self.kernel_px)
        stored = self.weight.view(self.out_channels * self.in_channels, -1)
        weight = functional.linear(stored, self.matrix).view(size).permute(2, 0, 3, 1, 4, 5)
        weight = weight.reshape(
            ORDER * self.out_channels, self.elements * self.in_channels, self.kernel_px, self.kernel_px
        )
        return weight.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.expanded_weight(), stride=self.stride, padding=self.padding)


class D4BatchNorm2d(nn.Module):
    """Batch norm of a map on the group, equivariant because scale, shift and running statistics are one per base channel.

    In training each of the 8·C channels is normalized by its own batch statistics, which agree in expectation.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, init_weight: float = 1.0) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.full((channels,), init_weight))
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
