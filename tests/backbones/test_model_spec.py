"""Contracts over the registry of backbones: a new file is tested the moment it exists."""

from __future__ import annotations

import pytest
import torch

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.core.errors import UserError

NAMES = backbones.names()
SMALL = [name for name in NAMES if backbones.get(name).spec.params_m < 10]


@pytest.mark.parametrize("name", SMALL)
def test_outputs_have_the_width_of_the_spec(name: str) -> None:
    spec = backbones.get(name).spec
    net = build(Architecture(name, 64, spec.default_pooling, {"sub_label": 8}), seed=0).eval()
    outputs = net(torch.rand(2, 3, 64, 64))
    assert outputs.logit_B.shape == (2,)
    assert outputs.embedding_BD.shape == (2, spec.pooling[spec.default_pooling])
    assert outputs.aux["sub_label"].shape == (2, 8)
    assert outputs.logit_B.dtype == torch.float32


@pytest.mark.parametrize("name", SMALL)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    architecture = Architecture(name, 64, backbones.get(name).spec.default_pooling)
    first, again, other = (build(architecture, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_an_invalid_size_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Nearest: 64 or 96"):
        backbones.get("resnet10").spec.check_size(70)


def test_an_unknown_pooling_is_an_error() -> None:
    with pytest.raises(UserError, match="no pooling 'cls'"):
        build(Architecture("resnet10", 64, "cls"), seed=0)
