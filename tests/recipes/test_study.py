"""The study's protocol on tiny siblings: it validates on the fold left out, uses the best epoch, and stops early."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mitotype.backbones import backbones
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.fit import run
from mitotype.fit.train import schedule
from mitotype.fit.validate import validate_recipe
from mitotype.recipes import recipes
from mitotype.recipes.study import AUGMENT, END_TO_END_INIT, study_recipe
from tests.backbones.siblings import registered_siblings
from tests.fit.test_adaptations import weights_file

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_valid(name: str) -> None:
    validate_recipe(recipes.get(name)())


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
    assert recipe.lr * schedule.build(recipe.schedule).min_scale == pytest.approx(1e-7)


def test_what_the_study_did_not_train_is_an_error() -> None:
    with pytest.raises(UserError, match="did not train swin-base"):
        study_recipe("swin-base", "lora(8, 16)")
    with pytest.raises(UserError, match="model of the study"):
        study_recipe("phikon", "probe")


@pytest.mark.parametrize(
    ("model", "adaptation"), [("uni2-h", "lora"), ("gigapath", "probe"), ("swin-base", "full"), ("virchow", "lora")]
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
