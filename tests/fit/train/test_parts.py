"""Samplers, MixUp, EMA, optimizers and schedules against closed forms and torch."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.amp import GradScaler

from mitotype.backbones.classifier import Architecture, build
from mitotype.core.errors import UserError
from mitotype.core.seeds import torch_generator
from mitotype.fit.recipe import Recipe, with_settings
from mitotype.fit.train import checkpoint, mixup
from mitotype.fit.train.ema import EMA
from mitotype.fit.train.optimizers import build_optimizers
from mitotype.fit.train.optimizers.muon import Muon, orthogonalize
from mitotype.fit.train.samplers import Patches, samplers
from mitotype.fit.train.schedules import ScheduleState, schedules
from mitotype.fit.validate import validate_recipe


def labels(atypical: int, normal: int) -> Patches:
    label_N = np.r_[np.ones(atypical, int), np.zeros(normal, int)]
    return Patches(label_N, np.zeros_like(label_N))


def test_class_balanced_draws_every_patch_of_a_class_alike() -> None:
    orders = [samplers.build("class_balanced(0.4)")(0, epoch, labels(17, 83)) for epoch in range(7)]
    assert all(len(order) == 100 and (order < 17).sum() == 40 for order in orders)
    counts = np.bincount(np.concatenate(orders), minlength=100)
    assert counts[:17].max() - counts[:17].min() <= 1
    assert counts[17:].max() - counts[17:].min() <= 1


def test_class_balanced_gives_every_batch_its_share() -> None:
    order = samplers.build("class_balanced(0.5)")(0, 0, labels(60, 240))
    shares = [(batch < 60).mean() for batch in order.reshape(10, 30)]
    assert max(shares) - min(shares) <= 0.1


def test_samplers_are_functions_of_seed_and_epoch() -> None:
    sampler = samplers.build("class_balanced")
    assert np.array_equal(sampler(1, 2, labels(5, 20)), sampler(1, 2, labels(5, 20)))
    assert not np.array_equal(sampler(1, 2, labels(5, 20)), sampler(1, 3, labels(5, 20)))
    assert sorted(samplers.build("uniform")(0, 0, labels(5, 20))) == list(range(25))


@pytest.mark.parametrize("text", ["fair", "class_balanced(2)", "class_balanced(0.5, 1)", "uniform | uniform", ""])
def test_invalid_samplers(text: str) -> None:
    with pytest.raises(UserError):
        samplers.build(text)


def test_mixup_weights_follow_the_folded_beta() -> None:
    perm_B, lam_B = mixup.sample(20_000, 0.4, torch_generator(0, "test"))
    assert sorted(perm_B.tolist()) == list(range(20_000))
    assert lam_B.min() >= 0.5 and lam_B.max() <= 1
    from scipy.stats import beta

    expected = 2 * beta(0.4, 0.4).expect(lambda x: x, lb=0.5, ub=1)
    assert lam_B.mean().item() == pytest.approx(expected, abs=5e-3)


def test_mixing_is_linear_and_propagates_nan() -> None:
    value = torch.tensor([[1.0, float("nan")], [3.0, 5.0]])
    mixed = mixup.mix(value, value[[1, 0]], torch.tensor([0.75, 0.5]))
    assert mixed[0, 0] == 1.5
    assert mixed[1, 0] == 2.0
    assert mixed[:, 1].isnan().all()


def test_ema_follows_its_formula() -> None:
    net = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0)
    ema = EMA(net, 0.9)
    expected = net.head.bias.detach().clone()
    for step in range(30):
        with torch.no_grad():
            net.head.bias.add_(1.0)
        ema.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.head.bias.detach()
    torch.testing.assert_close(ema.copy_to(net).head.bias, expected)


def test_ema_of_decay_0_is_the_last_weights() -> None:
    net = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0)
    ema = EMA(net, 0.0)
    with torch.no_grad():
        net.head.bias.add_(1.0)
    last = net.head.bias.detach().clone()
    ema.update()
    assert torch.equal(ema.copy_to(net).head.bias, last)


def test_every_trained_weight_is_in_one_optimizer() -> None:
    recipe = Recipe(name="x", backbone="vit-mini8", adaptation="full(0.5)", optimizer="muon", weight_decay=0.1)
    net = build(Architecture("vit-mini8", 64, "mean", model_kwargs={"depth": 2}), seed=0)
    trained = [p for optim in build_optimizers(recipe, net) for group in optim.param_groups for p in group["params"]]
    assert len(trained) == len({id(p) for p in trained}) == len(list(net.parameters()))
    adamw = build_optimizers(recipe, net)[0]
    decayed = {id(p): group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    assert decayed[id(net.head.weight)] == 0.1 and decayed[id(net.head.bias)] == 0
    assert len({group["lr"] for group in adamw.param_groups}) > 2


@pytest.mark.parametrize("setting", ["adaptation=full(0.5)", "grad_checkpointing=1"])
def test_a_net_without_blocks_has_no_layerwise_options(setting: str) -> None:
    with pytest.raises(UserError, match="no blocks"):
        validate_recipe(with_settings(Recipe(name="x", backbone="d4resnet-tiny"), [setting]))


def lr_scales(text: str, val_scores: list[float] | None = None, step: int | None = None) -> list[float]:
    steps = range(50) if step is None else [step]
    return [schedules.build(text).lr_scale(ScheduleState(n, 5, 10, 2.0, val_scores or [])) for n in steps]


def test_cosine_warms_up_and_ends_near_0() -> None:
    scales = lr_scales("cosine")
    assert scales[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(scales) == pytest.approx(1.0)
    assert scales[30] == pytest.approx(0.5)
    assert scales[-1] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(scales[10:]))
    assert lr_scales("constant")[10:] == [1.0] * 40


def test_plateau_equals_torchs() -> None:
    scores = [0.5, 0.6, 0.6, 0.59, 0.58, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    weight = torch.nn.Parameter(torch.zeros(1))
    optim = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optim, "max", factor=0.5, patience=3, min_lr=0.002)
    for done, score in enumerate(scores, 1):
        reference.step(score)
        assert lr_scales("plateau(0.5, 3)", scores[:done], 49) == [optim.param_groups[0]["lr"]]


@pytest.mark.parametrize("text", ["steps", "cosine(3)", "plateau(0.5, -1)", "plateau(factor=2)", ""])
def test_invalid_schedules(text: str) -> None:
    with pytest.raises(UserError):
        schedules.build(text)


def test_muon_in_bfloat16_equals_torchs() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(s)) for s in ((8, 30), (30, 8), (8, 30))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    muon = Muon(ours, lr=0.02, weight_decay=0.05, dtype=torch.bfloat16)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.05)
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        muon.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q)


def test_orthogonal_matrices_have_singular_values_near_one() -> None:
    matrix_KMN = orthogonalize(torch.randn(3, 20, 60, generator=torch_generator(0, "test")), torch.float32)
    values = torch.linalg.svdvals(matrix_KMN)
    assert values.min() > 0.5 and values.max() < 1.4


def test_moments_are_restored_in_the_layout_of_their_weights(tmp_path: Path) -> None:
    net = build(Architecture("resnet10", 64, "mean"), seed=0)
    kernel = max((p for p in net.parameters() if p.dim() == 4), key=lambda p: p.numel())
    assert not kernel.is_contiguous()

    def new_state() -> checkpoint.TrainState:
        return checkpoint.TrainState(net, EMA(net, 0.0), [torch.optim.AdamW([kernel])], GradScaler(enabled=False))

    first, second = new_state(), new_state()
    kernel.grad = torch.rand_like(kernel)
    first.optimizers[0].step()
    checkpoint.save(tmp_path, first)
    checkpoint.load(tmp_path, second)
    saved, loaded = (state.optimizers[0].state[kernel]["exp_avg"] for state in (first, second))
    assert loaded.stride() == saved.stride() == kernel.stride()
    assert torch.equal(loaded, saved)
