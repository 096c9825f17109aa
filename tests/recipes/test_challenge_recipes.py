"""The recipes of the challenge at true size: how many parameters are trained, and (by name) one step on random weights in bf16."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest
import torch

from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Classifier, build
from mitotype.backbones.predict import autocast
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.model import architecture, cast_frozen, set_train_mode
from mitotype.fit.validate import resolve_recipe
from mitotype.losses import Objective
from mitotype.recipes import recipes
from mitotype.transforms import Augment, Frame, tta_views

BF16 = torch.bfloat16
ADAPTERS = 32 * 2 * 8 * (1280 + 1280)  # blocks, 2 r (d_in + d_out) of query and value


def on_meta(recipe: Recipe) -> Classifier:
    with torch.device("meta"):
        return Classifier(architecture(resolve_recipe(recipe), Objective("soft_bce")))


@pytest.mark.parametrize(
    ("name", "trained", "head", "total_m", "views", "side_px"),
    [("winner2025", ADAPTERS, 1280 + 1, 840.51, 4, 64), ("yamagishi2025", None, 1024 + 1, 87.69, 8, 76)],
)
def test_trained_parameters_at_true_size(
    name: str, trained: int | None, head: int, total_m: float, views: int, side_px: int
) -> None:
    recipe = recipes.get(name)()
    model = on_meta(recipe)
    base = sum(p.numel() for key, p in model.trunk.named_parameters() if "lora_" not in key)
    assert base / 1e6 == pytest.approx(total_m, abs=0.006)
    counted = sum(p.numel() for p in model.trunk.parameters() if p.requires_grad)
    assert counted == (base if trained is None else trained)
    assert sum(p.numel() for p in model.head.parameters()) == head
    assert len(list(tta_views(recipe.tta))) == views
    assert Frame(recipe.frame).output_px(128) == Augment(recipe.augment).output_px(128) == side_px


@pytest.mark.long
def test_one_step_of_the_winners_net_changes_adapters_and_head_only() -> None:
    if psutil.virtual_memory().available < 7e9:
        pytest.skip("DINOv3-H+ needs 7 GB of free memory while it is built")
    recipe = resolve_recipe(replace(recipes.get("winner2025")(), size_px=64))  # 64 px instead of 256: minutes less
    model = build(architecture(recipe, Objective("soft_bce")), seed=0)
    cast_frozen(model, BF16)
    set_train_mode(model)
    before = {key: value.detach().double().sum().item() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    with autocast("cpu", BF16):
        loss = model(torch.rand(2, 3, 64, 64)).logit_B.square().sum()
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    changed = {key for key, value in model.state_dict().items() if value.detach().double().sum().item() != before[key]}
    assert changed and all("lora_" in key or key.startswith("head.") for key in changed)
    # A's gradient is 0 in the first step, since B is 0
    assert {key for key in changed if "lora_B" in key} == {key for key, _ in trained_tensors(model) if "lora_B" in key}
