"""Subject: the recipe that is ablated, of one run or of an ensemble, with the folders and the scores of its runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mitotype.core.run_layout import CrossFitUnit
from mitotype.experiments.ablation.ingredient import INGREDIENTS, Ingredient
from mitotype.fit.ensemble_recipe import EnsembleRecipe, validate_ensemble_recipe
from mitotype.fit.recipe import Recipe
from mitotype.fit.validate import validate_recipe
from mitotype.scores import table
from mitotype.scores.table import Scores


@dataclass(frozen=True)
class Subject:
    """One recipe, whose run is in a given folder, or the recipes of an ensemble, whose runs are in folders of their names below."""

    recipe: Recipe | EnsembleRecipe

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        return self.recipe.members if isinstance(self.recipe, EnsembleRecipe) else (self.recipe,)

    def changed(self, change: Callable[[Recipe], Recipe]) -> Subject:
        """Return the subject with a change of every recipe."""
        if isinstance(self.recipe, EnsembleRecipe):
            return Subject(dataclasses.replace(self.recipe, members=tuple(map(change, self.recipe.members))))
        return Subject(change(self.recipe))

    def without(self, left_out: Iterable[Ingredient]) -> Subject:
        """Return the subject without some ingredients."""
        subject = self
        for ingredient in left_out:
            subject = subject.changed(ingredient.without)
        return subject

    def ingredients(self) -> tuple[Ingredient, ...]:
        """Return the ingredients that any of the recipes has, but not the only loss of one."""
        return tuple(
            part
            for part in INGREDIENTS
            if any(part.without(recipe) != recipe for recipe in self.recipes)
            and all(part.without(recipe).objective for recipe in self.recipes)
        )

    @property
    def unit(self) -> CrossFitUnit:
        """What is left out whole where the decision is cross-fitted: a domain if every recipe leaves domains out."""
        return "domain" if {recipe.folds for recipe in self.recipes} == {"domain"} else "case"

    def validate(self) -> None:
        if isinstance(self.recipe, EnsembleRecipe):
            validate_ensemble_recipe(self.recipe)
        else:
            validate_recipe(self.recipe)

    def run_dirs(self, folder: Path) -> dict[Path, Recipe]:
        """Return the folder and the recipe of each run."""
        if isinstance(self.recipe, EnsembleRecipe):
            return {folder / recipe.name: recipe for recipe in self.recipe.members}
        return {folder: self.recipe}

    def read_scores(self, folder: Path) -> Scores:
        """Return the scores of all runs; those of an ensemble have members called RUN/MEMBER."""
        if not isinstance(self.recipe, EnsembleRecipe):
            return table.read(folder)
        tables = []
        for run_dir in self.run_dirs(folder):
            scores = table.read(run_dir)
            members = scores.scores["member"].astype(str)
            tables.append(Scores(scores.patches, scores.scores.assign(member=f"{run_dir.name}/" + members)))
        return table.merge(tables)
