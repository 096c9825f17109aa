"""LoRA on convolutions, and on query and value alone: how many parameters are trained, what changes, and that it survives storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mitotype.backbones import backbones, member_files, shared_base, weights
from mitotype.backbones.adaptations import adaptations, trained_tensors
from mitotype.backbones.adaptations.lora_qv import QueryValueLora
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.predict import InferenceConfig, predict, predict_ensemble
from mitotype.core.errors import UserError

QV = "lora(4, 8, 0, targets=qv)"
IMAGE_N3HW = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)


def trainable(name: str, adaptation: str) -> dict[str, int]:
    """Return the number of trained weights of every tensor of a trunk at its true size."""
    backbone = backbones.get(name)
    with torch.device("meta"):
        trunk = backbone.build(backbone.spec, backbone.spec.size_px, {})
        adaptations.build(adaptation).apply(trunk, backbone.spec)
    return {key: p.numel() for key, p in trunk.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("name", "modules"), [("efficientnet-lite0", 31), ("efficientnet-lite1", 41), ("efficientnet-lite2", 41)]
)
def test_the_1x1_convolutions_are_adapted_and_no_grouped_one(name: str, modules: int) -> None:
    trained = trainable(name, "lora(8, 16)")
    assert len(trained) == 2 * modules
    backbone = backbones.get(name)
    with torch.device("meta"):
        convolutions = dict(backbone.build(backbone.spec, 64, {}).named_modules())
    pointwise = [m for key, m in convolutions.items() if "blocks" in key and isinstance(m, nn.Conv2d) and m.groups == 1]
    assert sum(trained.values()) == sum(8 * (m.in_channels + m.out_channels) for m in pointwise)


def test_trained_weights_of_query_and_value_are_counted() -> None:
    """2 r (d_in + d_out of the query) in every block; 655 k in the 32 blocks of DINOv3-H+ at rank 4."""
    assert sum(trainable("dinov3-h+", "lora(4, 8, 0.05, targets=qv)").values()) == 32 * 2 * 4 * (1280 + 1280) == 655_360
    last = trainable("h-optimus-0", "lora(8, 16, targets=qv, last=4)")
    assert sum(last.values()) == 4 * 2 * 8 * (1536 + 1536) and all("attn.qkv.lora_" in key for key in last)


@pytest.fixture
def qkv() -> QueryValueLora:
    torch.manual_seed(0)
    module = QueryValueLora(nn.Linear(6, 15), rank=2, scale=2.0, dropout=0.0)
    assert torch.equal(module(torch.ones(1, 2, 6)), module.base_layer(torch.ones(1, 2, 6)))  # at first the update is 0
    with torch.no_grad():
        for part in ("q", "v"):
            module.get_parameter(f"lora_B_{part}").normal_()
    return module


def test_the_rows_of_the_key_do_not_change(qkv: QueryValueLora) -> None:
    x_BTD = torch.randn(3, 4, 6)
    change_BTE = qkv(x_BTD) - qkv.base_layer(x_BTD)
    assert torch.equal(qkv(x_BTD)[..., 5:10], qkv.base_layer(x_BTD)[..., 5:10])
    for part, rows in (("q", slice(0, 5)), ("v", slice(10, 15))):
        update = 2.0 * qkv.get_parameter(f"lora_B_{part}") @ qkv.get_parameter(f"lora_A_{part}")
        assert torch.linalg.matrix_rank(update) == 2
        torch.testing.assert_close(change_BTE[..., rows], x_BTD @ update.mT, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(qkv.merged()(x_BTD), qkv(x_BTD), rtol=1e-4, atol=1e-5)


@pytest.fixture
def base(tmp_path: Path) -> weights.PretrainedWeights:
    net = build(Architecture("vit-mini8", 64, "mean"), seed=1)
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, tmp_path / "base.safetensors")
    return weights.find("vit-mini8", str(tmp_path / "base.safetensors"))


def adapted(base: weights.PretrainedWeights, seed: int) -> Classifier:
    """Return a classifier with query and value changed at random, as after a training."""
    architecture = Architecture("vit-mini8", 64, "mean", adaptation=QV, base=base.digest)
    net = build(architecture, seed=seed, base_state=weights.read_state_dict(base))
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, value in trained_tensors(net):
            value.add_(torch.randn_like(value), alpha=0.1)
    return net.eval()


def test_one_step_trains_query_and_value_and_nothing_else(base: weights.PretrainedWeights) -> None:
    net = adapted(base, 0).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(torch.rand(2, 3, 64, 64)).logit_B.sum().backward()
    optimizer.step()
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    expected = {f"trunk.net.blocks.{i}.attn.qkv.lora_{m}_{p}" for i in range(6) for m in "AB" for p in "qv"}
    assert changed == expected | {"head.weight", "head.bias"} == {key for key, _ in trained_tensors(net)}


def test_members_of_query_and_value_are_stored_and_share_their_base(
    base: weights.PretrainedWeights, tmp_path: Path
) -> None:
    views, expected, member_dirs = [("identity", lambda x: x)], [], []
    for seed in range(3):
        member_dirs.append(tmp_path / "members" / str(seed))
        net = adapted(base, seed)
        member_files.write_member(member_dirs[-1], str(seed), "crop(64)", net)
        expected.append(predict(net, IMAGE_N3HW, lambda x: x.float() / 255, views, InferenceConfig()).logit["identity"])
    assert np.ptp(np.stack(expected), 0).min() > 0.01
    [ensemble] = shared_base.read_ensembles(member_dirs)
    for logit_N, prediction in zip(
        expected, predict_ensemble(ensemble, IMAGE_N3HW, lambda x: x.float() / 255, views), strict=True
    ):
        np.testing.assert_allclose(
            prediction.logit["identity"], logit_N, atol=5e-3
        )  # members are stored in half precision


@pytest.mark.parametrize(
    ("name", "adaptation", "message"),
    [
        ("vit-mini8", "lora(4, targets=qv, dora=1)", "trains the length of the key"),
        ("convnext-base", "lora(4, targets=qv)", "needs attention"),
    ],
)
def test_what_query_and_value_cannot_be_combined_with(name: str, adaptation: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        trainable(name, adaptation)
