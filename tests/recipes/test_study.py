"""The study's protocol on tiny siblings: it validates on the fold left out, uses the best epoch, and stops early."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path

import pytest
from timm.models.swin_transformer import SwinTransformer

from mitotype.backbones import backbones
from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.adaptations.lora import Lora
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.fit import run
from mitotype.fit.train.schedules import schedules
from mitotype.fit.validate import validate_recipe
from mitotype.recipes.study import AUGMENT, END_TO_END_INIT, study_recipe
from mitotype.transforms import Augment, Frame
from tests.backbones.siblings import registered_siblings
from tests.fit.test_adaptations import weights_file

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("model", "adaptation"),
    [*((m, a) for m in AUGMENT for a in ("probe", "lora")), *((m, "full") for m in END_TO_END_INIT)],
)
def test_every_model_of_the_study_has_its_recipe(model: str, adaptation: str) -> None:
    recipe = study_recipe(model, adaptation)
    validate_recipe(recipe)
    assert (recipe.batch, recipe.lr, recipe.folds, recipe.size_px) == (
        8,
        1e-3 if model == "gigapath" and adaptation == "probe" else 5e-5,
        "study",
        224,
    )
    assert (recipe.drop_last, recipe.patience) == (0, 10 if adaptation == "lora" else 15)
    assert recipe.precision == ("fp16" if adaptation == "probe" and model != "gigapath" else "fp32")
    assert recipe.head_init == ("timm" if adaptation == "lora" and model in ("uni", "uni2-h", "gigapath") else "linear")
    assert Frame(recipe.frame).output_px(128) == Augment(recipe.augment).output_px(128) == 224
    if adaptation == "lora":
        assert adaptations.build(recipe.adaptation) == Lora(8, 16, 0.3, targets="all")
    assert recipe.lr * schedules.build(recipe.schedule).min_scale == pytest.approx(1e-7)


def test_the_nets_of_the_study_are_those_of_its_scripts() -> None:
    assert dict(study_recipe("swin-base", "full").model_kwargs) == {
        "drop_path_rate": 0.1
    }  # timm's default, which ours is not
    assert inspect.signature(SwinTransformer).parameters["drop_path_rate"].default == 0.1
    assert study_recipe("vit-l16", "full").model_kwargs == ()
    assert study_recipe("gigapath", "probe").frame == "tv_resize(256, bicubic) | crop(224)"
    assert study_recipe("gigapath", "lora").frame == "tv_resize(224)"  # the whole patch
    assert study_recipe("virchow", "probe").frame == "tv_resize(224, bicubic)"


def test_what_the_study_did_not_train_is_an_error() -> None:
    with pytest.raises(UserError, match="did not train swin-base"):
        study_recipe("swin-base", "lora(8, 16)")
    with pytest.raises(UserError, match="model of the study"):
        study_recipe("phikon", "probe")


@pytest.mark.parametrize(
    ("model", "adaptation"),
    [("uni2-h", "lora"), ("gigapath", "probe"), ("virchow2", "probe"), ("swin-base", "full"), ("virchow", "lora")],
)
def test_the_protocol_runs(model: str, adaptation: str, toy_cohort: Cohort, tmp_path: Path) -> None:
    with registered_siblings(model) as [name]:
        recipe = dataclasses.replace(
            study_recipe(model, adaptation), backbone=name, size_px=backbones.get(name).spec.size_px, folds="2", epochs=4, patience=1,
            init_from=str(weights_file(name, tmp_path)),
        )  # fmt: skip
        folder = run.start(recipe, toy_cohort, tmp_path / "run")
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        scores = [line["held_out"] for line in lines if line.get("member") == "fold1-seed0" and "held_out" in line]
        assert 2 <= len(scores) <= 4
        assert all(0 <= score <= 1 for score in scores)
        best = scores.index(max(scores))
        assert len(scores) == 4 or len(scores) - 1 - best == 1
