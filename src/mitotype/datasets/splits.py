"""Splits: patch → fold, grouped by case, stratified by label, stored in a file and read back with every check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.mistakes import Collector, Mistake, unknown
from mitotype.core.seeds import numpy_generator
from mitotype.core.words import ATYPICAL, CLASS_NAMES, NORMAL, Cohort
from mitotype.datasets import known, layout
from mitotype.datasets.overlaps import Overlap, hold_out, known_overlaps, overlap

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STORED", "Overlap", "check", "digest", "grouped_folds", "hold_out", "known_overlaps", "leave_one_out", "once_each",
    "overlap", "read_split", "stored", "write_split",
]  # fmt: skip

STORED = {"study": "fold_study", "fixed": "fold_fixed"}  # the study's folds by scikit-learn ≤ 1.7, and by ≥ 1.8


def grouped_folds(cohort: Cohort, folds: int, seed: int) -> pd.Series:
    """Fold 1 … `folds` per patch_id: cases stay whole, folds hold like shares of each class.

    Cases are shuffled by `seed`, ordered by how unevenly they hold the classes, and each goes to the fold where the spread
    over folds of the share of each class (its standard deviation, averaged over classes) becomes least; equal spreads go
    to the fold with fewest patches. This is the rule of scikit-learn's StratifiedGroupKFold, written out because its
    shuffle differs between versions. Unlabelled patches are a class of their own.

    Raises a Mistake: fewer cases than folds, or a fold without an atypical or a normal patch.
    """
    import numpy as np
    import pandas as pd

    if folds < 2:
        raise Mistake(f"{folds} folds are no split.", allowed="2 or more")
    rows = cohort.rows
    classes = rows["label"].fillna(-1.0)
    per_case = pd.crosstab(rows["case_id"], classes)  # sorted by case: independent of the order of the rows
    if len(per_case) < folds:
        raise Mistake(f"'{cohort.name}' has {len(per_case)} cases, too few for {folds} folds.", fix="use fewer folds")
    counts = per_case.to_numpy(dtype=float)
    shuffled = numpy_generator(seed, "grouped_folds", folds).permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].std(axis=1), kind="stable")]
    totals, held = counts.sum(axis=0), np.zeros((folds, counts.shape[1]))
    fold_of = np.zeros(len(counts), dtype=int)
    for case in order:
        spreads = []
        for fold in range(folds):
            held[fold] += counts[case]
            spreads.append((round(float((held / totals).std(axis=0).mean()), 12), held[fold].sum(), fold))
            held[fold] -= counts[case]
        fold_of[case] = min(spreads)[2]
        held[fold_of[case]] += counts[case]
    by_case = pd.Series(fold_of + 1, index=per_case.index)
    return check(cohort, pd.Series(by_case.loc[rows["case_id"]].to_numpy(), index=list(rows["patch_id"]), name="fold"))


def stored(cohort: Cohort, which: str = "study") -> pd.Series:
    """The published study's five folds of AMi-Br's training patches, by patch_id: "study" or "fixed" (see STORED)."""
    import pandas as pd

    if which not in STORED:
        raise unknown("stored split", which, STORED, "mitotype train --help")
    folds = known.table("amibr")[STORED[which]].dropna().astype(int)
    folds.index = pd.Index("amibr/" + folds.index)
    outside = cohort.rows["patch_id"][~cohort.rows["patch_id"].isin(folds.index)]
    if len(outside):
        raise Mistake(
            f"The study's folds are of AMi-Br's training patches; '{outside.iloc[0]}' and {len(outside) - 1} more are not.",
            fix="leave --folds stored out to draw grouped folds",
        )
    return check(cohort, pd.Series(folds.loc[cohort.rows["patch_id"]], name="fold"))


def leave_one_out(cohort: Cohort, column: str = "domain") -> pd.Series:
    """One fold per value of `column`, numbered in the order of its sorted values, by patch_id.

    Raises a Mistake: fewer than two values, patches without one, a case with two (M001), a fold of one class.
    """
    import pandas as pd

    values = cohort.rows[column]
    empty = int((values == "").sum())
    names = sorted(set(values))
    if empty or len(names) < 2:
        found = f"{empty} patches have none" if empty else f"there is one: '{names[0] if names else ''}'"
        raise Mistake(f"'{cohort.name}' cannot leave one {column} out: {found}.", fix="use grouped folds")
    number = {name: fold for fold, name in enumerate(names, start=1)}
    return check(cohort, pd.Series(values.map(number).to_numpy(), index=list(cohort.rows["patch_id"]), name="fold"))


def check(cohort: Cohort, folds: pd.Series) -> pd.Series:
    """`folds` unchanged, or a Mistake: a case in two folds (M001), or a fold that lacks a class."""
    trouble = Collector()
    rows = cohort.rows.set_index("patch_id")
    fold = folds.reindex(rows.index)
    per_case = fold.groupby(rows["case_id"].to_numpy()).nunique()
    for case in per_case.index[per_case > 1][:10]:
        where = ", ".join(str(f) for f in sorted(set(fold[(rows["case_id"] == case).to_numpy()])))
        trouble.add(Mistake(f"The case '{case}' is in the folds {where}.", fix="keep each case in one", code="M001"))
    for number, label in rows["label"].groupby(fold.to_numpy()):
        for wanted in (NORMAL, ATYPICAL):
            if not (label == wanted).any():
                what = f"Fold {number} has no {CLASS_NAMES[wanted]} patch ({len(label)} patches)."
                trouble.add(Mistake(what, fix="use fewer folds, or more cases"))
    trouble.settle()
    return folds


def write_split(path: Path, cohort: Cohort, folds: pd.Series) -> str:
    """Write patch_id, case_id, fold as csv and return the split's digest."""
    rows = cohort.rows[["patch_id", "case_id"]].copy()
    rows["fold"] = check(cohort, folds).loc[rows["patch_id"]].to_numpy()
    files.write_table(path, rows)
    return digest(folds)


def read_split(path: Path, cohort: Cohort, *, expected: str | None = None) -> pd.Series:
    """The folds of a split's csv (columns patch_id, fold) for the patches of `cohort`, in its order.

    Raises a Mistake: a missing column, a patch without a fold, twice or unknown, a fold that is no whole number from 1, a
    case in two folds (M001), a fold of one class, or a digest other than `expected`.
    """
    import pandas as pd

    said = layout.read_csv(path, ("patch_id", "fold"), what="split")
    ids = said["patch_id"].str.removeprefix("'")  # written so where the name began like a formula
    if ids.duplicated().any():
        raise Mistake(f"The split '{path}' has two rows for '{ids[ids.duplicated()].iloc[0]}'.", fix="keep one")
    wrong = said["fold"][~said["fold"].str.fullmatch(r"0*[1-9]\d{0,5}")]
    if len(wrong):
        line = int(wrong.index[0]) + 2
        raise Mistake(f"The split '{path}' has the fold '{wrong.iloc[0][:20]}' (line {line}).", allowed="1, 2, 3 …")
    folds = pd.Series(said["fold"].astype(int).to_numpy(), index=list(ids), name="fold")
    wanted = cohort.rows["patch_id"]
    lacking, strange = wanted[~wanted.isin(folds.index)], ids[~ids.isin(set(wanted))]
    if len(lacking) or len(strange):
        patch, count = (lacking.iloc[0], len(lacking)) if len(lacking) else (strange.iloc[0], len(strange))
        told = "has no fold for" if len(lacking) else f"names patches that '{cohort.name}' does not have:"
        raise Mistake(
            f"The split '{path}' {told} '{patch}' ({count} such patches).",
            fix="read the data that it was made of, or make a new split",
        )
    folds = check(cohort, folds.loc[wanted])
    if expected is not None and digest(folds) != expected:
        raise Mistake(f"The split '{path}' is not the one that was used before.", fix="restore it, or begin a new run")
    return folds


def digest(folds: pd.Series) -> str:
    """Hex digest of who is in which fold, whatever the order of the rows."""
    return files.digest_of(*sorted(f"{patch}\x1f{int(fold)}" for patch, fold in folds.items()))


def once_each(cohort: Cohort) -> Cohort:
    """The cohort without second rows of one figure: the same case and the same centre (MIDOG 2025 joined with AMi-Br).

    The first row stays; what was dropped is noted.
    """
    rows = cohort.rows
    if "x_px" not in rows or "y_px" not in rows:
        return cohort
    again = rows.duplicated(["case_id", "x_px", "y_px"]) & rows["x_px"].notna() & rows["y_px"].notna()
    if not again.any():
        return cohort
    note = f"{cohort.name}: {int(again.sum())} patches show a figure that is there already and were left out"
    kept = cohort.take(~again)
    return Cohort(kept.name, kept.rows, (*kept.notes, note))
