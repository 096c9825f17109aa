"""Group convolutions against brute force, and nets that are invariant to the eight rotations and reflections."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.equivariant import INVERSE, ORDER, PRODUCT, D4BatchNorm2d, D4Conv2d, transform_square


def transform_image(x_BCHW: Tensor, element: int) -> Tensor:
    return torch.rot90(x_BCHW.flip(3) if element >= 4 else x_BCHW, element % 4, (2, 3))


def transform_map(x_BCHW: Tensor, element: int) -> Tensor:
    """Return a map on the group under an element: positions are transformed, and channel g moves to element·g."""
    maps = x_BCHW.unflatten(1, (ORDER, -1))
    moved = torch.stack([maps[:, PRODUCT[INVERSE[element]][g]] for g in range(ORDER)], 1)
    return transform_image(moved.flatten(1, 2), element)


def test_d4_is_a_group() -> None:
    assert all(sorted(row) == list(range(ORDER)) for row in PRODUCT)
    for a in range(ORDER):
        assert PRODUCT[a][0] == PRODUCT[0][a] == a
        assert PRODUCT[a][INVERSE[a]] == 0
        for b in range(ORDER):
            for c in range(ORDER):
                assert PRODUCT[PRODUCT[a][b]][c] == PRODUCT[a][PRODUCT[b][c]]


def test_expanded_kernels_are_the_transformed_stored_ones() -> None:
    conv = D4Conv2d(2, 3, 3)
    stored = conv.weight.view(3, 2, ORDER, 3, 3)
    expanded = conv.expanded_weight().view(ORDER, 3, ORDER, 2, 3, 3)
    for h in range(ORDER):
        for g in range(ORDER):
            for o in range(3):
                for i in range(2):
                    expected = transform_square(stored[o, i, PRODUCT[INVERSE[h]][g]], h)
                    assert torch.equal(expanded[h, o, g, i], expected)


@pytest.mark.parametrize("element", range(ORDER))
def test_convolutions_and_norms_are_equivariant(element: int) -> None:
    torch.manual_seed(0)
    lift, inner, norm = (
        D4Conv2d(3, 2, 4, stride=2, padding=1, lifting=True),
        D4Conv2d(2, 3, 3, padding=1),
        D4BatchNorm2d(3),
    )
    norm.mean.normal_()
    norm.variance.uniform_(0.5, 2)
    norm.eval()
    image = torch.randn(2, 3, 16, 16)

    def net(x: Tensor) -> Tensor:
        return norm(inner(functional.relu(lift(x))))

    expected = transform_map(net(image), element)
    torch.testing.assert_close(net(transform_image(image, element)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in backbones.names() if name.startswith("d4resnet")])
def test_logits_are_invariant_to_rotations_and_reflections(name: str) -> None:
    net = build(Architecture(name, 64, "mean"), seed=0).eval()
    for module in net.modules():
        if isinstance(module, D4BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    image = torch.rand(2, 3, 64, 64)
    logit_B = net(image).logit_B
    assert logit_B.std() > 0
    for element in range(ORDER):
        torch.testing.assert_close(net(transform_image(image, element)).logit_B, logit_B, atol=1e-4, rtol=1e-4)
