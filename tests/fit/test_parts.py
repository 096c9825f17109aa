"""Samplers, MixUp, the average of the weights, the learning rate: against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mitotype.backbones.classifier import Architecture, build
from mitotype.core.mistakes import Mistake
from mitotype.core.seeds import torch_generator
from mitotype.fit import loop, mixing, samplers
from mitotype.fit.average import Average
from mitotype.fit.recipe import Recipe


def pool(atypical: int, normal: int) -> samplers.Pool:
    return samplers.Pool(np.r_[np.ones(atypical, int), np.zeros(normal, int)], np.array(["a"] * (atypical + normal)))


def test_class_balanced_draws_every_patch_of_a_class_alike() -> None:
    orders = [samplers.read("class_balanced(0.4)")(0, epoch, pool(17, 83)) for epoch in range(7)]
    assert all(len(order) == 100 and (order < 17).sum() == 40 for order in orders)
    counts = np.bincount(np.concatenate(orders), minlength=100)
    assert counts[:17].max() - counts[:17].min() <= 1
    assert counts[17:].max() - counts[17:].min() <= 1


def test_class_balanced_gives_every_batch_its_share() -> None:
    order = samplers.read("class_balanced(0.5)")(0, 0, pool(60, 240))
    shares = [(batch < 60).mean() for batch in order.reshape(10, 30)]
    assert max(shares) - min(shares) <= 0.1


def test_samplers_are_functions_of_seed_and_epoch() -> None:
    sampler = samplers.read("class_balanced")
    assert np.array_equal(sampler(1, 2, pool(5, 20)), sampler(1, 2, pool(5, 20)))
    assert not np.array_equal(sampler(1, 2, pool(5, 20)), sampler(1, 3, pool(5, 20)))
    assert sorted(samplers.read("uniform")(0, 0, pool(5, 20))) == list(range(25))


@pytest.mark.parametrize("text", ["fair", "class_balanced(2)", "class_balanced(0.5, 1)", "uniform | uniform", ""])
def test_samplers_that_are_none(text: str) -> None:
    with pytest.raises(Mistake):
        samplers.read(text)


def test_mixup_shares_follow_the_folded_beta() -> None:
    partner_B, share_B = mixing.draw(20_000, 0.4, torch_generator(0, "test"))
    assert sorted(partner_B.tolist()) == list(range(20_000))
    assert share_B.min() >= 0.5 and share_B.max() <= 1
    from scipy.stats import beta

    expected = 2 * beta(0.4, 0.4).expect(lambda x: x, lb=0.5, ub=1)
    assert share_B.mean().item() == pytest.approx(expected, abs=5e-3)


def test_mixing_is_linear_and_keeps_the_unknown() -> None:
    value = torch.tensor([[1.0, float("nan")], [3.0, 5.0]])
    mixed = mixing.mix(value, torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    assert mixed[0, 0] == 1.5
    assert mixed[1, 0] == 2.0
    assert mixed[:, 1].isnan().all()


def test_the_average_is_the_stated_one() -> None:
    net = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0)
    average = Average(net, 0.9)
    expected = net.head.bias.detach().clone()
    for step in range(30):
        with torch.no_grad():
            net.head.bias.add_(1.0)
        average.update(net)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.head.bias.detach()
    torch.testing.assert_close(average.model().head.bias, expected)


def test_no_average_keeps_the_last_weights() -> None:
    net = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0)
    average = Average(net, 0.0)
    with torch.no_grad():
        net.head.bias.add_(1.0)
    average.update(net)
    assert torch.equal(average.model().head.bias, net.head.bias)


def test_learning_rate_warms_up_and_ends_at_nothing() -> None:
    recipe = Recipe(name="r", backbone="resnet10", size_px=64, epochs=10, warmup_epochs=2.0)
    rates = [loop.rate(recipe, step, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[30] == pytest.approx(0.5)
    assert rates[-1] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
