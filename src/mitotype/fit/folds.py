"""Folds: the fold of every training patch, stored with the run; a case in two folds stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotype.core.words import Cohort
from mitotype.datasets import splits
from mitotype.fit.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd


def assign(recipe: Recipe, cohort: Cohort) -> pd.Series:
    """Fold 1 … K by patch_id: the study's stored ones, one per domain, or K made by case and class from the recipe's seed.

    Without folds ("none") every patch is in fold 1 and no member leaves it out.
    """
    if recipe.folds == "none":
        import pandas as pd

        return splits.check(cohort, pd.Series(1, index=pd.Index(cohort.rows["patch_id"])))
    if recipe.folds == "study":
        return splits.check(cohort, splits.stored(cohort))
    if recipe.folds == "domain":
        return splits.check(cohort, splits.leave_one_out(cohort, "domain"))
    return splits.check(cohort, splits.grouped_folds(cohort, int(recipe.folds), recipe.seed))
