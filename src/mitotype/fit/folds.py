"""Folds: the fold of every training patch, stored with the run; a case in two folds stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.words import Cohort
from mitotype.datasets import splits
from mitotype.fit.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd


def assign(recipe: Recipe, cohort: Cohort) -> pd.Series:
    """Fold 1 … K per row: the study's stored ones, one per domain, or K made by case and class from the recipe's seed."""
    if recipe.folds == "study":
        return splits.stored(cohort)
    if recipe.folds == "domain":
        return splits.leave_one_out(cohort, "domain")
    return splits.grouped_folds(cohort, int(recipe.folds), recipe.seed)


def digest(rows: pd.DataFrame) -> str:
    """Digest of the split: which patch is in which fold."""
    return files.digest_of(
        *sorted(f"{patch_id}\x1f{fold}" for patch_id, fold in zip(rows["patch_id"], rows["fold"], strict=True))
    )
