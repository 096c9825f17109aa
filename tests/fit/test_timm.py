"""Any model of timm as a backbone: its facts, and a training of a few steps from random weights and by LoRA."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from mitotype.backbones import backbones
from mitotype.core import run_layout
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.fit import run
from mitotype.fit.recipe import Recipe, with_settings


def test_facts_are_those_of_timm() -> None:
    vit, pooled = backbones.get("timm/vit_tiny_patch16_224").spec, backbones.get("timm/resnet18").spec
    assert (vit.patch_px, vit.blocks, vit.lora_modules, vit.prefix_tokens, vit.default_pooling) == (
        16,
        12,
        48,
        1,
        "cls",
    )
    assert (pooled.patch_px, pooled.lora_targets, pooled.pooling) == (None, None, {"mean": 512})
    assert {vit.verified, pooled.verified} == {"no"} and vit.license == "apache-2.0"
    assert backbones.get("timm/swin_tiny_patch4_window7_224").spec.multiple_px == 224
    assert "timm/resnet18" in backbones and "timm/resnet18" not in backbones.names()
    with pytest.raises(UserError, match="Nearest: resnet18"):
        backbones.get("timm/resnet-18")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "adaptation"), [("resnet18", "full"), ("vit_tiny_patch16_224", "lora(2, 4)")], ids=["resnet", "lora"]
)
def test_it_trains(name: str, adaptation: str, tiny: Recipe, toy_cohort: Cohort, tmp_path: Path) -> None:
    save_file(timm.create_model(name, num_classes=7).state_dict(), tmp_path / "weights.safetensors")
    settings = [f"backbone=timm/{name}", f"adaptation={adaptation}", "size_px=64", "epochs=1", "folds=2"]
    recipe = with_settings(tiny, [*settings, f"init_from={tmp_path / 'weights.safetensors'}"])
    run_dir = run.start(recipe, toy_cohort, tmp_path / "run", device="cpu")
    assert run_layout.read_run(run_dir).finished
    assert len(run_layout.read_scores(run_dir)) > 0
