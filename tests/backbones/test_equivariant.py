"""Group convolutions against a brute-force one, and nets that do not change under the eight turns and mirrors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.equivariant import INVERSE, ORDER, PRODUCT, GroupConvolution, GroupNorm, turned


def turned_picture(x_BCHW: Tensor, element: int) -> Tensor:
    return torch.rot90(x_BCHW.flip(3) if element >= 4 else x_BCHW, element % 4, (2, 3))


def turned_map(x_BCHW: Tensor, element: int) -> Tensor:
    """A map on the group under an element: positions turn, and what stood at g moves to element·g."""
    maps = x_BCHW.unflatten(1, (ORDER, -1))
    moved = torch.stack([maps[:, PRODUCT[INVERSE[element]][g]] for g in range(ORDER)], 1)
    return turned_picture(moved.flatten(1, 2), element)


def test_d4_is_a_group() -> None:
    assert all(sorted(row) == list(range(ORDER)) for row in PRODUCT)
    for a in range(ORDER):
        assert PRODUCT[a][0] == PRODUCT[0][a] == a
        assert PRODUCT[a][INVERSE[a]] == 0
        for b in range(ORDER):
            for c in range(ORDER):
                assert PRODUCT[PRODUCT[a][b]][c] == PRODUCT[a][PRODUCT[b][c]]


def test_the_expanded_kernels_are_the_turned_ones() -> None:
    convolution = GroupConvolution(2, 3, 3)
    kept = convolution.weight.view(3, 2, ORDER, 3, 3)
    expanded = convolution.expanded().view(ORDER, 3, ORDER, 2, 3, 3)
    for h in range(ORDER):
        for g in range(ORDER):
            for o in range(3):
                for i in range(2):
                    assert torch.equal(expanded[h, o, g, i], turned(kept[o, i, PRODUCT[INVERSE[h]][g]], h))


@pytest.mark.parametrize("element", range(ORDER))
def test_convolutions_and_norms_turn_with_their_input(element: int) -> None:
    torch.manual_seed(0)
    lift, inner, norm = (
        GroupConvolution(3, 2, 4, stride=2, padding=1, lifts=True),
        GroupConvolution(2, 3, 3, padding=1),
        GroupNorm(3),
    )
    norm.mean.normal_()
    norm.variance.uniform_(0.5, 2)
    norm.eval()
    picture = torch.randn(2, 3, 16, 16)

    def net(x: Tensor) -> Tensor:
        return norm(inner(functional.relu(lift(x))))

    expected = turned_map(net(picture), element)
    torch.testing.assert_close(net(turned_picture(picture, element)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in backbones.names() if name.startswith("d4resnet")])
def test_the_logit_does_not_change_when_the_figure_is_turned(name: str) -> None:
    net = build(Architecture(name, 64, "mean"), seed=0).eval()
    for module in net.modules():
        if isinstance(module, GroupNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    picture = torch.rand(2, 3, 64, 64)
    logit_B = net(picture).logit_B
    assert logit_B.std() > 0
    for element in range(ORDER):
        torch.testing.assert_close(net(turned_picture(picture, element)).logit_B, logit_B, atol=1e-4, rtol=1e-4)
