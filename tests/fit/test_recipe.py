"""Recipes: fields changed from the command line, dumped, read back, and every mistake told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mitotype.core.mistakes import Mistake
from mitotype.fit import recipe as recipes
from mitotype.fit.recipe import Recipe
from mitotype.recipes import recipes as shelf


@pytest.mark.parametrize("name", shelf.names())
def test_every_recipe_builds_and_reads_back(name: str) -> None:
    recipe = shelf.get(name)()
    recipe.check()
    assert recipe.name == name
    assert recipes.from_plain(recipe.plain()) == recipe
    doc = shelf.get(name).__doc__ or ""
    assert "Command:" in doc
    assert "Cost:" in doc


def test_settings_are_read_by_type(tiny: Recipe) -> None:
    changed = recipes.with_settings(
        tiny, ["epochs=5", "lr=3e-4", "augment=d4 | crop(64)", "options={'drop_path_rate': 0.1}"]
    )
    assert (changed.epochs, changed.lr, changed.augment) == (5, 3e-4, "d4 | crop(64)")
    assert changed.options == (("drop_path_rate", 0.1),)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("epoch=5", "Nearest: epochs"),
        ("epochs=five", "whole number"),
        ("epochs=2.5", "whole number"),
        ("epochs", "FIELD=VALUE"),
        ("lr=__import__('os')", "a number"),
        ("options=3", "drop_path_rate"),
        ("name=x", "No recipe field"),
    ],
)
def test_settings_that_are_not_understood(tiny: Recipe, setting: str, word: str) -> None:
    with pytest.raises(Mistake, match=word):
        recipes.with_settings(tiny, [setting])


def test_all_mistakes_are_told_together(tiny: Recipe) -> None:
    bad = recipes.with_settings(
        tiny, ["backbone=resnt10", "augment=spin(3)", "objective=soft_bc", "sampler=fair", "epochs=0", "folds=one"]
    )
    with pytest.raises(Mistake) as told:
        bad.check()
    for word in ("resnt10", "spin", "soft_bc", "fair", "epochs is 0", "folds is 'one'"):
        assert word in str(told.value)


def test_training_and_test_must_see_one_size(tiny: Recipe) -> None:
    with pytest.raises(Mistake, match="frame gives 64 px and augment 56 px"):
        recipes.with_settings(tiny, ["augment=d4 | crop(56)"]).check()


def test_an_unknown_field_of_a_stored_recipe_is_not_dropped(tiny: Recipe) -> None:
    with pytest.raises(Mistake, match="dropout_head"):
        recipes.from_plain({**tiny.plain(), "dropout_head": 0.1})


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["objective=soft_bce + distil"], "none is named"),
        (["teacher=runs/a"], "no term learns"),
        (["objective=contrast(0.2)", "mixup=0"], "sees every patch once"),
        (["objective=contrast(0.2)", "draws=2", "mixup=0.3"], "mixed one is none"),
        (["adaptation=probe", "objective=soft_bce", "init_from=published", "seeds=2"], "same for every seed"),
    ],
)
def test_fields_that_do_not_go_together(tiny: Recipe, settings: list[str], word: str) -> None:
    with pytest.raises(Mistake, match=word):
        recipes.with_settings(tiny, settings).check()


def test_a_probe_on_the_members_of_a_run_has_as_many_seeds(tiny: Recipe, whole: Path) -> None:
    probe = ["adaptation=probe", "objective=soft_bce", f"init_from={whole}", "seeds=2"]
    recipes.with_settings(tiny, probe).check()
