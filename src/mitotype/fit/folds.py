"""The fold of every training patch, which is stored with the run."""

from __future__ import annotations

import pandas as pd

from mitotype.core.schema import Cohort
from mitotype.datasets import splits
from mitotype.fit.recipe import Recipe


def assign_folds(recipe: Recipe, cohort: Cohort) -> pd.Series:
    """Return fold 1 … K by patch_id: the study's stored ones, one per domain, or K grouped by case and stratified by class.

    Without folds ("none") every patch is in fold 1 and no member leaves it out. Raises a UserError for a case in two folds.
    """
    if recipe.folds == "none":
        fold = pd.Series(1, index=pd.Index(cohort.rows["patch_id"]))
    elif recipe.folds == "study":
        fold = splits.published_folds(cohort)
    elif recipe.folds == "domain":
        fold = splits.leave_one_group_out(cohort, "domain")
    else:
        fold = splits.grouped_folds(cohort, int(recipe.folds), recipe.seed)
    return splits.check_folds(cohort, fold)
