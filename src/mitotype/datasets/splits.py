"""Splits: patch → fold, grouped by case and stratified by label."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mitotype.core import files
from mitotype.core.case_folds import stratified_case_folds
from mitotype.core.errors import ErrorCollector, UserError, unknown_name
from mitotype.core.schema import ATYPICAL, CLASS_NAMES, NORMAL, Cohort
from mitotype.datasets import fingerprints

PUBLISHED = {"study": "fold_study", "fixed": "fold_fixed"}  # the study's folds by scikit-learn ≤ 1.7, and by ≥ 1.8


def grouped_folds(cohort: Cohort, folds: int, seed: int) -> pd.Series:
    """Return fold 1 … `folds` per patch_id: grouped by case, stratified by label (see `stratified_case_folds`).

    Unlabelled patches are a class of their own. Raises a UserError for fewer cases than folds, and for a fold without an
    atypical or a normal patch.
    """
    if folds < 2:
        raise UserError(f"{folds} folds are no split.", allowed="2 or more")
    rows = cohort.rows
    cases = rows["case_id"].nunique()
    if cases < folds:
        raise UserError(f"'{cohort.name}' has {cases} cases, too few for {folds} folds.", fix="use fewer folds")
    label = rows["label"].fillna(-1.0).to_numpy()
    return _fold_series(cohort, stratified_case_folds(rows["case_id"].to_numpy(), label, folds=folds, seed=seed) + 1)


def published_folds(cohort: Cohort, variant: str = "study") -> pd.Series:
    """Return the published study's five folds of AMi-Br's training patches by patch_id; variants are in PUBLISHED."""
    if variant not in PUBLISHED:
        raise unknown_name("published split", variant, PUBLISHED, "mitotype train --help")
    folds = fingerprints.table("amibr")[PUBLISHED[variant]].dropna().astype(int)
    folds.index = pd.Index("amibr/" + folds.index)
    ids = cohort.rows["patch_id"]
    outside = ids[~ids.isin(folds.index)]
    if len(outside):
        raise UserError(
            f"The study's folds are of AMi-Br's training patches; '{outside.iloc[0]}' and {len(outside) - 1} more are not.",
            fix="use grouped folds: --set folds=5",
        )
    return _fold_series(cohort, folds.loc[ids])


def leave_one_group_out(cohort: Cohort, column: str = "domain") -> pd.Series:
    """Return one fold per value of `column`, numbered in the order of the sorted values, by patch_id.

    Raises a UserError for fewer than two values, patches without a value, a case with two (M001), and a fold of one class.
    """
    values = cohort.rows[column]
    empty = int((values == "").sum())
    names = sorted(set(values))
    if empty or len(names) < 2:
        reason = f"{empty} patches have none" if empty else f"all have '{names[0] if names else ''}'"
        raise UserError(
            f"'{cohort.name}' cannot leave one {column} out: {reason}.", fix="use grouped folds: --set folds=5"
        )
    return _fold_series(cohort, values.map({name: fold for fold, name in enumerate(names, start=1)}))


def _fold_series(cohort: Cohort, fold: ArrayLike) -> pd.Series:
    return check_folds(cohort, pd.Series(np.asarray(fold), index=list(cohort.rows["patch_id"]), name="fold"))


def check_folds(cohort: Cohort, folds: pd.Series) -> pd.Series:
    """Return `folds` unchanged. Raises a UserError for a case in two folds (M001) and for a fold that lacks a class."""
    errors = ErrorCollector()
    rows = cohort.rows.set_index("patch_id")
    fold = folds.reindex(rows.index)
    per_case = fold.groupby(rows["case_id"].to_numpy()).nunique()
    for case in per_case.index[per_case > 1][:10]:
        numbers = ", ".join(str(f) for f in sorted(set(fold[(rows["case_id"] == case).to_numpy()])))
        errors.add(
            UserError(f"The case '{case}' is in the folds {numbers}.", fix="put each case in one fold", code="M001")
        )
    for number, label in rows["label"].groupby(fold.to_numpy()):
        for value in (NORMAL, ATYPICAL):
            if not (label == value).any():
                message = f"Fold {number} has no {CLASS_NAMES[value]} patch ({len(label)} patches)."
                errors.add(UserError(message, fix="use fewer folds, or more cases"))
    errors.raise_if_any()
    return folds


def digest(folds: pd.Series) -> str:
    """Return a hex digest of the fold of every patch, independent of the order of the rows."""
    return files.digest_of(*sorted(f"{patch}\x1f{int(fold)}" for patch, fold in folds.items()))


def drop_repeated_figures(cohort: Cohort) -> Cohort:
    """Return the cohort without further rows of a figure, which has the same case and centre (MIDOG 2025 joined with AMi-Br).

    The first row is used; how many were dropped is noted.
    """
    rows = cohort.rows
    if "x_px" not in rows or "y_px" not in rows:
        return cohort
    repeated = rows.duplicated(["case_id", "x_px", "y_px"]) & rows["x_px"].notna() & rows["y_px"].notna()
    if not repeated.any():
        return cohort
    note = f"{cohort.name}: {int(repeated.sum())} patches repeat a figure of the cohort and were dropped"
    return Cohort(cohort.name, rows[~repeated].reset_index(drop=True), (*cohort.notes, note))


def digest_of_labels(cohort: Cohort) -> str:
    """Return the digest of the names and the labels of the patches of a cohort."""
    rows = cohort.rows.sort_values("patch_id")
    return files.digest_of(
        *(f"{patch_id} {label}" for patch_id, label in zip(rows["patch_id"], rows["label"], strict=True))
    )
