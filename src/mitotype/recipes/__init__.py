"""Recipes: functions that return a Recipe; their docstrings contain the command, the cost and the expected score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mitotype.core.registry import Registry

if TYPE_CHECKING:
    from mitotype.fit.ensemble_recipe import EnsembleRecipe
    from mitotype.fit.recipe import Recipe

recipes: Registry[Callable[[], Recipe | EnsembleRecipe]] = Registry("recipe", "recipes", "mitotype.recipes")
