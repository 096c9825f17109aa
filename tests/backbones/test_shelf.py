"""Contracts over the shelf of backbones: a new file is tested the moment it exists."""

from __future__ import annotations

import pytest
import torch

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.core.mistakes import Mistake

NAMES = backbones.names()
SMALL = [name for name in NAMES if backbones.get(name).facts.params_m < 10]


@pytest.mark.parametrize("name", SMALL)
def test_outputs_have_the_stated_width(name: str) -> None:
    facts = backbones.get(name).facts
    net = build(Architecture(name, 64, facts.default_pooling, (("sub_label", 8),)), seed=0).eval()
    outputs = net(torch.rand(2, 3, 64, 64))
    assert outputs.logit_B.shape == (2,)
    assert outputs.embedding_BD.shape == (2, facts.pooling[facts.default_pooling])
    assert outputs.extra["sub_label"].shape == (2, 8)
    assert outputs.logit_B.dtype == torch.float32


@pytest.mark.parametrize("name", SMALL)
def test_weights_follow_from_the_seed(name: str) -> None:
    architecture = Architecture(name, 64, backbones.get(name).facts.default_pooling)
    first, again, other = (build(architecture, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_size_that_does_not_fit_names_the_nearest() -> None:
    with pytest.raises(Mistake, match="Nearest: 64 or 96"):
        backbones.get("resnet10").facts.check_size(70)


def test_an_unknown_pooling_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="no pooling 'cls'"):
        build(Architecture("resnet10", 64, "cls"), seed=0)
