"""The timm folder: timm builds the net and prepares images as the bundle does, and its class is that of `classify`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mitotype import api
from mitotype.core.errors import UserError
from mitotype.core.schema import CLASS_NAMES, Cohort
from mitotype.deploy.predictor import open_predictor
from mitotype.fit import run
from mitotype.fit.recipe import with_settings
from tests import synthetic_cohort

BASE = ["epochs=1", "warmup_epochs=0", "folds=2", "n_final_models=1", "mixup=0", "objective=bce", "tta=identity"]
CONVOLUTIONS = ["backbone=resnet10"]
CLASS_TOKEN = ["backbone=timm/vit_tiny_patch16_224", "tta=d4"]
MEAN_OF_TOKENS = ["backbone=vit-mini8"]


def bundle_of(cohort: Cohort, folder: Path, settings: list[str]) -> Path:
    recipe = with_settings(synthetic_cohort.tiny(), [*BASE, *settings])
    return api.bundle(run.start(recipe, cohort, folder / "run"), folder / "bundle")


@pytest.mark.parametrize("settings", [CONVOLUTIONS, CLASS_TOKEN], ids=["convolutions", "class token"])
def test_timm_builds_the_net_and_its_class_is_that_of_the_bundle(
    toy_cohort: Cohort, one_thread: None, tmp_path: Path, settings: list[str]
) -> None:
    source = bundle_of(toy_cohort, tmp_path, settings)
    check_export(source, tmp_path)
    assert ("scores 8 views" in (tmp_path / "net" / "README.md").read_text()) == ("tta=d4" in settings)


@pytest.mark.long
@pytest.mark.parametrize("adaptation", ["lora(4, 8)", "lora(4, 8, targets=qv)"])
def test_updates_of_lora_are_in_the_weights(
    toy_cohort: Cohort, one_thread: None, tmp_path: Path, adaptation: str
) -> None:
    base = bundle_of(toy_cohort, tmp_path / "base", MEAN_OF_TOKENS).with_name("run")
    settings = [*MEAN_OF_TOKENS, f"adaptation={adaptation}", f"init_from={base}"]
    check_export(bundle_of(toy_cohort, tmp_path, settings), tmp_path)


def check_export(source: Path, tmp_path: Path) -> None:
    folder = api.export(source, to="timm", out=tmp_path / "net")
    config = json.loads((folder / "config.json").read_text())
    assert config["num_classes"] == 2 and config["label_names"] == list(CLASS_NAMES)
    net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    expected = json.loads((folder / "mitotype.json").read_text())
    image = Image.open(folder / "test_image.png")
    with torch.inference_mode():
        logit_12 = net(transform(image)[None])
    assert float(torch.softmax(logit_12, 1)[0, 1]) == pytest.approx(expected["atypical"], abs=1e-4)
    assert CLASS_NAMES[int(logit_12.argmax())] == expected["test_class"]
    outputs, _ = open_predictor(str(source)).predict(np.asarray(image).transpose(2, 0, 1)[None])
    decision = open_predictor(str(source)).decision
    logit = outputs[0].logit["identity"]
    assert decision.decide(logit).class_N[0] == expected["test_class"]


def test_nets_that_timm_does_not_have_are_refused_with_those_that_it_has(
    toy_cohort: Cohort, one_thread: None, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="has 2 members"):
        api.export("default", to="timm", out=tmp_path / "net")
    source = bundle_of(toy_cohort, tmp_path, ["backbone=d4resnet-tiny"])
    with pytest.raises(UserError, match="timm has no net like the 'd4resnet-tiny'") as refused:
        api.export(source, to="timm", out=tmp_path / "net")
    allowed = str(refused.value.allowed)
    assert "resnet10" in allowed and "uni" in allowed and "uni2-h" not in allowed and "d4resnet" not in allowed
    assert not (tmp_path / "net").exists()
