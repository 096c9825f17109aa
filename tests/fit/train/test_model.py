"""The classifier before its first step: its head, what LoRA adapts, and what its input goes through."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mitotype.backbones import backbones
from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.predict import amp_dtype, autocast
from mitotype.core.errors import UserError
from mitotype.fit import environment
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import frozen_cache
from mitotype.fit.train.batches import BatchSource
from mitotype.fit.train.distributed import Ranks
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.fit.train.model import init_model, set_train_mode
from mitotype.losses import Objective
from mitotype.transforms import Augment
from tests.backbones.siblings import registered_siblings


def test_the_head_starts_as_the_recipe_says(tmp_path: Path) -> None:
    recipe = Recipe(name="x", backbone="resnet10", size_px=64)
    heads: dict[str, torch.nn.Linear] = {}
    trunks = []
    for kind in ("small", "linear", "timm"):
        model = init_model(
            dataclasses.replace(recipe, head_init=kind), Objective("bce"), TrainContext(tmp_path), seed=3
        )
        heads[kind] = model.head.requires_grad_(False)
        trunks.append(torch.cat([value.detach().flatten() for value in model.trunk.parameters()]))
    width = heads["small"].in_features
    assert torch.equal(trunks[0], trunks[1]) and torch.equal(trunks[0], trunks[2])
    bound = width**-0.5
    assert 0.9 * bound < heads["linear"].weight.abs().max() <= bound and heads["linear"].bias.abs() <= bound
    assert heads["linear"].weight.std() == pytest.approx(bound / 3**0.5, rel=0.15)
    assert heads["timm"].bias == heads["small"].bias == 0 != heads["linear"].bias
    assert heads["timm"].weight.std() == pytest.approx(0.02, rel=0.15)
    assert heads["small"].weight.std() == pytest.approx(0.1 * bound, rel=0.15)


def lora_modules(name: str, adaptation: str) -> list[str]:
    spec = backbones.get(name).spec
    net = build(Architecture(name, spec.size_px, spec.default_pooling, adaptation=adaptation, base="0" * 16), seed=0)
    names = [name for name, _ in trained_tensors(net) if "lora_A" in name]
    return [name.removeprefix("trunk.net.").removesuffix(".lora_A.default.weight") for name in names]


def test_lora_adapts_the_convolution_that_embeds_patches_if_asked() -> None:
    with registered_siblings("uni", "swin-base") as [name, swin]:
        blocks = lora_modules(name, "lora(8, 16)")
        assert lora_modules(name, "lora(8, 16, targets=all)") == ["patch_embed.proj", *blocks]
        with pytest.raises(UserError, match="before the first block"):
            lora_modules(name, "lora(8, 16, targets=all, last=1)")
        with pytest.raises(UserError, match="and a transformer"):
            lora_modules(swin, "lora(8, 16, targets=all)")


def test_an_image_of_the_input_size_is_normalized_only() -> None:
    with registered_siblings("gigapath") as [name]:
        spec = backbones.get(name).spec
        net = build(Architecture(name, spec.size_px, "cls"), seed=0)
        image_B3SS = torch.rand(2, 3, spec.size_px, spec.size_px)
        assert torch.equal(net.prepare(image_B3SS), (image_B3SS - net.mean) / net.std)
        assert net.prepare(torch.rand(2, 3, 128, 128)).shape == image_B3SS.shape


def test_probe_features_are_computed_in_fp16_and_stored_in_fp32(tmp_path: Path) -> None:
    assert amp_dtype("cuda", "fp16") == torch.float16 and amp_dtype("cuda") == torch.bfloat16
    assert amp_dtype("cuda", "fp32") is None is amp_dtype("cpu", "fp16")
    with registered_siblings("virchow2") as [name]:
        recipe = Recipe(name="x", backbone=name, size_px=backbones.get(name).spec.size_px, adaptation="head", precision="fp16",
                        augment="tv_resize(42)")  # fmt: skip
        assert environment.describe(recipe, "cpu", 1).precision == "fp16"
        context = TrainContext(tmp_path, amp_dtype=environment.DTYPES["fp16"])
        model = init_model(recipe, Objective("bce"), context, seed=0)
        image_N3HW = np.random.default_rng(0).integers(0, 256, (4, 3, 128, 128)).astype(np.uint8)
        data = TrainData(image_N3HW, np.array([0, 1, 0, 1]), np.zeros(4, np.float32), {})
        cache = frozen_cache.build(model, recipe, data, Augment(recipe.augment), context)
        assert cache is not None and cache.feature_NV.dtype == torch.float32
        images = Augment(recipe.augment).apply(torch.from_numpy(image_N3HW), {})
        with torch.no_grad(), autocast("cpu", torch.float16):
            expected = model(images).embedding_BD
        assert torch.equal(cache.feature_NV[:, 0], expected)
        assert not torch.equal(expected, model(images).embedding_BD)


def test_a_batch_has_the_published_labels(tmp_path: Path) -> None:
    recipe = Recipe(name="x", backbone="resnet10", size_px=64, augment="crop(64)", batch=4)
    image_N3HW = np.zeros((4, 3, 64, 64), np.uint8)
    data = TrainData(image_N3HW, np.array([0, 1, 0, 1]), np.array([0.5, 0.5, 0, 1], np.float32), {})
    for mixup in (0.0, 0.3):
        changed = dataclasses.replace(recipe, mixup=mixup)
        source = BatchSource(changed, data, Augment(recipe.augment), 0, TrainContext(tmp_path), Ranks(None), None)
        [(_, batch)] = source.parts(np.array([3, 1, 0, 0]), 0, 0)
        assert batch.label_B is not None and (batch.label_B > 0.5).tolist() == [True, True, False, False]
        assert mixup or batch.target_B.tolist() == [1.0, 0.5, 0.5, 0.5]


def test_norms_of_a_partly_frozen_d4_net_keep_their_statistics() -> None:
    """As an adaptation from outside the package may leave it: with its biases trained alone."""
    model = build(Architecture("d4resnet-tiny", 64, "mean"), seed=0)
    for name, parameter in model.trunk.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    assert buffers
    set_train_mode(model)
    model(torch.rand(4, 3, 64, 64))
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize(("adaptation", "moves"), [("full", True), ("lora(2, 4)", False), ("probe", False)])
def test_running_statistics_move_where_they_are_stored(adaptation: str, moves: bool) -> None:
    """An adapter is stored without the statistics of its frozen norms: they must be those of the base."""
    model = build(Architecture("efficientnet-lite0", 64, "mean", adaptation=adaptation), seed=0)
    statistics = {key: value.clone() for key, value in model.state_dict().items() if "running_" in key}
    assert statistics
    set_train_mode(model)
    model(torch.rand(4, 3, 64, 64))
    state = model.state_dict()
    assert moves == any(not torch.equal(state[key], value) for key, value in statistics.items())
    assert moves == (statistics.keys() <= {name for name, _ in trained_tensors(model)})
