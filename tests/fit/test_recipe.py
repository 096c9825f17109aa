"""Recipes: settings from the command line, dumped and read back, and all errors reported together."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from mitotype.core.errors import UserError
from mitotype.core.run_layout.run import RECIPE_FIELDS_1
from mitotype.fit import recipe as recipes
from mitotype.fit.ensemble_recipe import EnsembleRecipe
from mitotype.fit.recipe import FIELDS, Recipe
from mitotype.fit.validate import validate_recipe
from mitotype.recipes import recipes as registry


@pytest.mark.parametrize("name", registry.names())
def test_every_recipe_is_valid_and_reads_back(name: str) -> None:
    recipe = registry.get(name)()
    assert recipe.name == name
    members = recipe.members if isinstance(recipe, EnsembleRecipe) else (recipe,)
    for member in members:
        validate_recipe(member)
        assert Recipe.from_dict(member.to_dict()) == member
    assert len({member.name for member in members}) == len(members)
    doc = registry.get(name).__doc__ or ""
    assert "Command:" in doc
    assert "Cost:" in doc


def test_every_field_has_a_meaning() -> None:
    assert list(FIELDS) == [field.name for field in fields(Recipe)]
    assert all(field.meaning for field in FIELDS.values())


def test_settings_have_the_type_of_their_field(tiny: Recipe) -> None:
    changed = recipes.with_settings(
        tiny, ["epochs=5", "lr=3e-4", "augment=d4 | crop(64)", "model_kwargs={'drop_path_rate': 0.1}"]
    )
    assert (changed.epochs, changed.lr, changed.augment) == (5, 3e-4, "d4 | crop(64)")
    assert changed.model_kwargs == (("drop_path_rate", 0.1),)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("epoch=5", "Nearest: epochs"),
        ("epochs=five", "whole number"),
        ("epochs=2.5", "whole number"),
        ("epochs=1e999", "whole number"),
        ("epochs", "FIELD=VALUE"),
        ("lr=__import__('os')", "a number"),
        ("model_kwargs=3", "drop_path_rate"),
        ("name=x", "No recipe field"),
    ],
)
def test_invalid_settings(tiny: Recipe, setting: str, word: str) -> None:
    with pytest.raises(UserError, match=word):
        recipes.with_settings(tiny, [setting])


@pytest.mark.parametrize(("old", "new"), RECIPE_FIELDS_1.items())
def test_field_names_of_0_1_0_are_read(tiny: Recipe, old: str, new: str) -> None:
    stored = tiny.to_dict()
    assert Recipe.from_dict({(old if key == new else key): value for key, value in stored.items()}) == tiny
    text = "{}" if new == "model_kwargs" else "2" if isinstance(FIELDS[new].default, int | float) else "x"
    with pytest.warns(FutureWarning, match=new):
        changed = recipes.with_settings(tiny, [f"{old}={text}"])
    assert changed == recipes.with_settings(tiny, [f"{new}={text}"])


def test_errors_are_reported_together(tiny: Recipe) -> None:
    bad = recipes.with_settings(
        tiny, ["backbone=resnt10", "augment=spin(3)", "objective=soft_bc", "sampler=fair", "epochs=0", "folds=one"]
    )
    with pytest.raises(UserError) as error:
        validate_recipe(bad)
    for word in ("resnt10", "spin", "soft_bc", "fair", "epochs is 0", "folds is 'one'"):
        assert word in str(error.value)


def test_training_and_test_images_have_one_size(tiny: Recipe) -> None:
    with pytest.raises(UserError, match="frame gives 64 px and augment 56 px"):
        validate_recipe(recipes.with_settings(tiny, ["augment=d4 | crop(56)"]))


def test_an_unknown_field_of_a_stored_recipe_is_an_error(tiny: Recipe) -> None:
    with pytest.raises(UserError, match="dropout_head"):
        Recipe.from_dict({**tiny.to_dict(), "dropout_head": 0.1})


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["objective=soft_bce + distil"], "teacher is empty"),
        (["teacher=runs/a"], "no loss learns"),
        (["objective=contrast(0.2)", "mixup=0"], "n_views is 1"),
        (["objective=contrast(0.2)", "n_views=2", "mixup=0.3"], "which MixUp mixes"),
        (["adaptation=probe", "objective=soft_bce", "init_from=published", "seeds=2"], "same for every seed"),
        (["calibration=plat"], "calibration is 'plat'"),
        (["threshold=sensitivity(2)"], "value of sensitivity is 2"),
        (["threshold=balanced_acuracy"], "Nearest: balanced_accuracy"),
        (["abstention=share(0.9)"], "value of share is 0.9"),
    ],
)
def test_fields_that_contradict_each_other(tiny: Recipe, settings: list[str], word: str) -> None:
    with pytest.raises(UserError, match=word):
        validate_recipe(recipes.with_settings(tiny, settings))


def test_a_probe_of_a_run_may_have_several_seeds(tiny: Recipe, finished_run: Path) -> None:
    probe = ["adaptation=probe", "objective=soft_bce", f"init_from={finished_run}", "seeds=2"]
    validate_recipe(recipes.with_settings(tiny, probe))
