"""Loss scaling of fp16, with torch's scaler on a CPU: steps, skipped steps, checkpoints, and when it is on. No GPU is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.amp import GradScaler

from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.core.errors import UserError
from mitotype.fit import environment
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import checkpoint
from mitotype.fit.train.ema import EMA
from mitotype.fit.train.loss_scaling import build_scaler
from mitotype.fit.train.optimizers import build_optimizers, update
from mitotype.fit.validate import validate_recipe

FP16 = Recipe(
    name="x", backbone="resnet10", size_px=64, precision="fp16", augment="crop(64)", frame="crop(64)", optimizer="muon", ema_decay=0.0
)  # fmt: skip


def net() -> Classifier:
    return build(Architecture("vit-mini8", 64, "mean"), seed=0)


def step(scaler: GradScaler, max_norm: float, factor: float = 1.0) -> dict[str, torch.Tensor]:
    """Return the weights after one step on one batch."""
    model = net()
    optims = build_optimizers(FP16, model)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    scaler.scale(factor * model(images).logit_B.square().sum()).backward()
    update(optims, model, max_norm, scaler)
    assert all(p.grad is None for p in model.parameters())
    return model.state_dict()


@pytest.mark.parametrize("max_norm", [0.0, 0.01])
def test_a_scaled_step_is_the_step_without_scale(max_norm: float) -> None:
    plain = step(GradScaler("cpu", enabled=False), max_norm)
    scaled = step(GradScaler("cpu", init_scale=2.0**16), max_norm)
    before = net().state_dict()
    assert any(not torch.equal(plain[key], before[key]) for key in before)
    for key in plain:
        torch.testing.assert_close(scaled[key], plain[key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("max_norm", [0.0, 1.0])
def test_a_step_whose_gradients_overflow_is_skipped(max_norm: float) -> None:
    scaler = GradScaler("cpu", init_scale=2.0**16)
    after = step(scaler, max_norm, factor=float("inf"))
    assert all(torch.equal(value, after[key]) for key, value in net().state_dict().items())
    assert scaler.get_scale() == 2.0**15


def test_the_scale_is_in_the_checkpoint(tmp_path: Path) -> None:
    def new_state(scale: float, enabled: bool = True) -> checkpoint.TrainState:
        model = net()
        scaler = GradScaler("cpu", init_scale=scale, enabled=enabled)
        return checkpoint.TrainState(model, EMA(model, 0.0), build_optimizers(FP16, model), scaler)

    first, second = new_state(2.0**7), new_state(2.0**16)
    checkpoint.save(tmp_path, first)
    checkpoint.load(tmp_path, second)
    assert second.scaler.state_dict() == first.scaler.state_dict() and second.scaler.get_scale() == 2.0**7
    checkpoint.save(tmp_path, new_state(1.0, enabled=False))  # of bf16 and fp32, and of version 0.1.0
    checkpoint.load(tmp_path, second)
    assert second.scaler.get_scale() == 2.0**7


def test_it_is_on_for_trunks_that_are_trained_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    fp16, head = torch.float16, replace(FP16, adaptation="head", init_from="published")
    assert build_scaler(FP16, "cuda:1", fp16).is_enabled()
    assert not build_scaler(head, "cuda", fp16).is_enabled()
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", None)):
        for device in ("cpu", "cuda"):
            assert not build_scaler(replace(FP16, precision=precision), device, dtype).is_enabled()


def test_fp16_on_a_cpu_is_for_frozen_trunks() -> None:
    validate_recipe(FP16)
    assert environment.describe(FP16, "cuda", 1, local=False).precision == "fp16"
    for describe in (lambda: environment.describe(FP16, "cpu", 1), lambda: build_scaler(FP16, "cpu", torch.float16)):
        with pytest.raises(UserError, match="precision is fp16, in which 'full' is trained on a GPU only"):
            describe()
    for adaptation in ("head", "probe", "knn"):
        frozen = replace(FP16, adaptation=adaptation, init_from="published")
        assert environment.describe(frozen, "cpu", 1).precision == "fp16"
