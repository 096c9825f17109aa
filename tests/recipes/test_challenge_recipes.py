"""The recipes of the challenge at true size: how many parameters are trained, and (by name) one step on random weights in bf16."""

from __future__ import annotations

import functools
from dataclasses import replace

import psutil
import pytest
import torch

from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Classifier, build
from mitotype.backbones.predict import autocast
from mitotype.fit.ensemble_recipe import EnsembleRecipe
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.model import architecture, cast_frozen, set_train_mode
from mitotype.fit.validate import resolve_recipe
from mitotype.losses import Batch, LossContext, Objective
from mitotype.recipes import recipes
from mitotype.transforms import Augment, Frame, tta_views

BF16 = torch.bfloat16
N_DOMAINS = 5


@functools.cache
def recipe_of(name: str) -> Recipe:
    """Return the recipe of a run, by its name or as ENSEMBLE/MEMBER."""
    ensemble, _, member = name.partition("/")
    recipe = recipes.get(ensemble)()
    if isinstance(recipe, EnsembleRecipe):
        recipe = next(m for m in recipe.members if m.name == member)
    return resolve_recipe(recipe)


def lora_8(blocks: int, width: int, hidden_out: int, hidden_in: int) -> int:
    """Return r (d_in + d_out) summed over the four linear layers of every block, at rank 8; SwiGLU halves its hidden width."""
    return blocks * 8 * ((width + 3 * width) + (width + width) + (width + hidden_out) + (hidden_in + width))


# name: trained parameters of the trunk (None: all), width of the embedding, millions of parameters, views, side in px
SIZES = {
    "winner2025": (32 * 2 * 8 * (1280 + 1280), 1280, 840.51, 4, 64),
    "yamagishi2025": (None, 1024, 87.69, 8, 76),
    "giedziun2025": (lora_8(40, 1536, 8192, 4096), 1536, 1134.77, 2, 64),
    "ochi2025/uni": (lora_8(24, 1024, 4096, 4096), 1024, 303.35, 1, 64),
    "ochi2025/virchow": (lora_8(32, 1280, 6832, 3416), 2560, 631.23, 1, 64),
    "ochi2025/virchow2": (lora_8(32, 1280, 6832, 3416), 2560, 631.24, 1, 64),
    "ochi2025/convnextv2-base": (None, 1024, 87.69, 1, 64),
}


@pytest.mark.parametrize("name", SIZES)
def test_trained_parameters_at_true_size(name: str) -> None:
    recipe, (trained, width, total_m, views, side_px) = recipe_of(name), SIZES[name]
    with torch.device("meta"):
        model = Classifier(architecture(recipe, Objective(recipe.objective)))
    base = sum(p.numel() for key, p in model.trunk.named_parameters() if "lora_" not in key)
    assert base / 1e6 == pytest.approx(total_m, abs=0.006)
    assert sum(p.numel() for p in model.trunk.parameters() if p.requires_grad) == (base if trained is None else trained)
    assert sum(p.numel() for p in model.head.parameters()) == width + 1
    assert len(list(tta_views(recipe.tta))) == views
    assert Frame(recipe.frame).output_px(128) == Augment(recipe.augment).output_px(128) == side_px


@pytest.mark.long
@pytest.mark.parametrize("name", SIZES)
def test_one_step_changes_what_is_trained_and_nothing_else(name: str) -> None:
    """At true size, on random weights, two patches of two domains, in bf16, with every loss of the recipe."""
    recipe = recipe_of(name)
    if psutil.virtual_memory().available < 9e9:
        pytest.skip("the largest nets need 9 GB of free memory while they are built")
    if recipe.backbone.startswith("dinov3"):
        recipe = replace(recipe, size_px=64)  # instead of 256: minutes less
    objective = Objective(recipe.objective)
    model = build(architecture(recipe, objective), seed=0)
    if trained := SIZES[name][0]:
        cast_frozen(model, BF16)
    loss = objective.build(LossContext(SIZES[name][1], tuple(map(str, range(N_DOMAINS)))))
    model.add_module("objective", loss)
    set_train_mode(model)
    before = {key: _total(value) for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    batch = Batch(
        torch.tensor([0.9, 0.2]),
        patch_B=torch.tensor([0, 1]),
        label_B=torch.tensor([1.0, 0.0]),
        domain_BM=torch.eye(N_DOMAINS)[:2],
        progress=0.5,
    )
    with autocast("cpu", BF16):
        outputs = model(torch.rand(2, 3, 64, 64))
    total = loss(outputs, batch)
    total.backward()
    optimizer.step()
    assert total.isfinite()
    changed = {key for key, value in model.state_dict().items() if _total(value) != before[key]}
    assert {key.partition(".")[0] for key in changed} >= {"trunk", "head"}
    if trained:
        assert all("lora_" in key or key.startswith(("head.", "objective.")) for key in changed)
        # A's gradient is 0 in the first step, since B is 0
        assert {k for k in changed if "lora_B" in k} == {k for k, _ in trained_tensors(model) if "lora_B" in k}


def _total(value: torch.Tensor) -> float:
    return value.detach().double().sum().item()
