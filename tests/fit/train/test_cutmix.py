"""CutMix: boxes and shares against brute force, one of CutMix and MixUp per step, and the same images for any number of parts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mitotype.core.seeds import torch_generator
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import cutmix, frozen_cache
from mitotype.fit.train.batches import BatchSource
from mitotype.fit.train.distributed import Ranks
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.fit.train.model import init_model
from mitotype.losses import Batch, Objective
from mitotype.transforms import Augment


def test_a_box_replaces_what_it_covers_and_the_rest_remains() -> None:
    (perm_B, lam_B), box_B4 = cutmix.sample(500, 1.0, 32, torch_generator(0, "test"))
    assert sorted(perm_B.tolist()) == list(range(500)) and box_B4.min() >= 0 and box_B4.max() <= 32
    image_B3CC, other_B3CC = torch.zeros(500, 3, 32, 32), torch.ones(500, 3, 32, 32)
    out = cutmix.paste(image_B3CC, other_B3CC, box_B4)
    expected = image_B3CC.clone()
    for i, (top, left, bottom, right) in enumerate(box_B4.tolist()):
        expected[i, :, top:bottom, left:right] = 1
    assert torch.equal(out, expected) and out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(1 - out.mean((1, 2, 3)), lam_B, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_boxes_follow_the_paper(alpha: float) -> None:
    """Against its equations in numpy: r = C √(1 − λ), a uniform centre, cut off at the edges."""
    (_, lam_B), box_B4 = cutmix.sample(20_000, alpha, 64, torch_generator(0, "test"))
    rng = np.random.default_rng(0)
    half, centre = 32 * np.sqrt(1 - rng.beta(alpha, alpha, 20_000))[:, None], rng.uniform(0, 64, (20_000, 2))
    low, high = np.clip(centre - half, 0, 64), np.clip(centre + half, 0, 64)
    assert lam_B.mean() == pytest.approx(1 - ((high - low).prod(1) / 64**2).mean(), abs=0.01)
    covers = ((box_B4[:, :2] <= 32) & (box_B4[:, 2:] > 32)).all(1).float().mean()
    assert covers == pytest.approx(((low <= 32) & (high > 32)).all(1).mean(), abs=0.02)


N = 16


def parts_of(
    recipe: Recipe, tmp_path: Path, step: int = 0, rank: int = 0, n_ranks: int = 1
) -> list[tuple[Tensor, Batch]]:
    """The parts of a step on images of one color each, whose target is that color."""
    value_N = np.linspace(0, 1, N, dtype=np.float32)
    image_N3HW = np.broadcast_to((value_N * 255).round().astype(np.uint8)[:, None, None, None], (N, 3, 64, 64))
    data = TrainData(image_N3HW, np.arange(N) % 2, value_N, {}, domain_NM=np.eye(N, dtype=np.float32))
    source = BatchSource(
        recipe, data, Augment(recipe.augment), 0, TrainContext(tmp_path), Ranks(None, rank, n_ranks), None
    )
    return list(source.parts(np.arange(N), 0, step))


def test_targets_are_mixed_by_area(tmp_path: Path) -> None:
    recipe = Recipe(name="x", backbone="resnet10", augment="crop(64)", batch=N, cutmix=1.0)
    [(image_B3CC, batch)] = parts_of(recipe, tmp_path)
    assert torch.allclose(image_B3CC.mean((1, 2, 3)), batch.target_B, atol=2e-3)
    assert (image_B3CC.flatten(1).std(1) > 0).sum() > N / 2, "most images have two colors"
    assert batch.domain_BM is not None and torch.allclose(batch.domain_BM.sum(1), torch.ones(N))
    assert torch.allclose(batch.domain_BM @ torch.linspace(0, 1, N), batch.target_B, atol=1e-5)


def test_parts_of_a_batch_have_the_same_images(tmp_path: Path) -> None:
    fields = {"name": "x", "backbone": "resnet10", "augment": "fisheye(0.5) | noise(0.1) | crop(64)", "batch": N}
    for mixup in (0.0, 0.3):
        recipe = Recipe(**fields, cutmix=1.0, mixup=mixup)
        [(image_B3CC, batch)] = parts_of(recipe, tmp_path)
        parts = parts_of(Recipe(**fields, cutmix=1.0, mixup=mixup, grad_accum_steps=4), tmp_path)
        assert len(parts) == 4 and torch.equal(torch.cat([x for x, _ in parts]), image_B3CC)
        assert torch.equal(torch.cat([part.target_B for _, part in parts]), batch.target_B)
        ranks = [parts_of(recipe, tmp_path, rank=rank, n_ranks=2) for rank in range(2)]
        assert torch.equal(torch.cat([x for [(x, _)] in ranks]), image_B3CC)


def test_features_of_mixed_images_are_not_cached(tmp_path: Path) -> None:
    recipe = Recipe(name="x", backbone="resnet10", size_px=64, augment="crop(64)", adaptation="head")
    data = TrainData(np.zeros((4, 3, 64, 64), np.uint8), np.array([0, 1, 0, 1]), np.zeros(4, np.float32), {})
    context, augment = TrainContext(tmp_path), Augment("crop(64)")
    model = init_model(recipe, Objective("bce"), context, seed=0)
    assert frozen_cache.build(model, recipe, data, augment, context)
    assert not frozen_cache.build(model, dataclasses.replace(recipe, cutmix=1.0), data, augment, context)


def test_a_step_has_cutmix_or_mixup(tmp_path: Path) -> None:
    """MixUp of images of one color each gives images of one color."""
    recipe = Recipe(name="x", backbone="resnet10", augment="crop(64)", batch=N, cutmix=1.0, mixup=1.0)
    has_boxes = [bool(parts_of(recipe, tmp_path, s)[0][0].flatten(1).std(1).max() > 1e-3) for s in range(40)]
    assert 10 <= sum(has_boxes) <= 30
    generator = torch_generator(0, "test")
    state = generator.get_state()
    assert not cutmix.is_selected(0, 0.3, generator) and cutmix.is_selected(1.0, 0, generator)
    assert torch.equal(generator.get_state(), state), "a recipe with one of them draws no number for the choice"
