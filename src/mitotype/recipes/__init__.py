"""Recipes: functions that return a Recipe. The docstring says command, cost and score to expect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mitotype.core.shelf import Shelf

if TYPE_CHECKING:
    from mitotype.fit.recipe import Recipe

recipes: Shelf[Callable[[], Recipe]] = Shelf("recipe", "recipes", "mitotype.recipes")
