"""Assemble a Cohort from the table and the images of a published dataset; whatever does not fit is an error or a note."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pandas as pd

from mitotype.core import files
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import ATYPICAL, CLASS_NAMES, MPP_UM, NORMAL, Cohort
from mitotype.datasets import layout
from mitotype.datasets.dataset import datasets
from mitotype.datasets.fingerprints import DIGEST_CHARS

TEXT = ("case_id", "domain", "scanner", "tumour", "species", "expert_votes")
NUMBERS = ("label", "votes_for", "votes")


def find_root(path: Path, title: str, table: pd.DataFrame | None) -> Path | None:
    """Return the folder with Atypical/ and Normal/ of the dataset `title`: `path` itself or a folder of that name inside.

    A folder of any other name is accepted if its first images are published files according to the shipped `table`.
    """
    child = layout.find_child(path, title)
    if child is not None and layout.class_folders(child):
        return child
    classes = layout.class_folders(path)
    if not classes or path.name.casefold() == title.casefold():
        return path if classes else None
    if table is None:
        return None
    sample = [file for folder in classes.values() for file in islice(layout.iter_images(folder), 2)]
    digests = table["sha256"].to_dict()
    return path if sample and all(digests.get(f.stem) == files.sha256(f)[:DIGEST_CHARS] for f in sample) else None


def assemble(
    dataset: str,
    table: pd.DataFrame,
    images: Mapping[str, tuple[Path, float]],
    *,
    source: Path,
    part: str = "all",
    mpp_um: float | None = None,
    notes: tuple[str, ...] = (),
) -> Cohort:
    """Return the Cohort of `table` (indexed by file stem) and `images` ({stem: (path, label of its folder)}).

    Rows without an image are dropped and noted (a partial copy); counts other than the published ones of `part` are noted.
    Raises a UserError for an image without a row and for one in the folder of the other class.
    """
    name = dataset if part == "all" else f"{dataset}-{part}"
    rows = table.copy()
    for column in TEXT:
        rows[column] = rows[column].astype(str) if column in rows else ""
    for column in NUMBERS:
        rows[column] = rows[column].astype(float) if column in rows else float("nan")
    _check_images(dataset, rows, images, source)
    absent = [stem for stem in rows.index if stem not in images]
    if len(absent) == len(rows):
        raise UserError(
            f"None of the {len(rows)} images of {dataset} is in '{source}'.",
            fix=f"give the folder of the images, or fetch them: mitotype fetch {dataset} DIR",
        )
    if absent:
        notes += (
            f"{dataset}: a partial copy: {len(rows) - len(absent)} of {len(rows)} patches are in '{source}'; "
            f"without an image: {', '.join(absent[:3])}{' …' if len(absent) > 3 else ''}",
        )
    rows = rows.drop(index=absent)
    rows["path"] = [str(images[stem][0]) for stem in rows.index]
    rows["mpp_um"] = MPP_UM if mpp_um is None else mpp_um
    if mpp_um is not None and mpp_um != MPP_UM:
        notes += (f"{dataset}: read at {mpp_um:g} µm/px as stated; it is published at {MPP_UM}",)
    rows["dataset"] = dataset
    rows.insert(0, "patch_id", [f"{dataset}/{stem}" for stem in rows.index])
    normal, atypical = (int((rows["label"] == label).sum()) for label in (NORMAL, ATYPICAL))
    published = datasets.get(dataset).counts[part]
    if (normal, atypical) != published and not absent:
        notes += (
            f"{name}: {normal} normal and {atypical} atypical patches; published are {published[0]} and {published[1]}",
        )
    return Cohort(name, rows.reset_index(drop=True), notes)


def _check_images(dataset: str, rows: pd.DataFrame, images: Mapping[str, tuple[Path, float]], source: Path) -> None:
    errors = ErrorCollector(max_shown=10)
    labels = rows["label"].to_dict()
    as_own = f"or read the folder as your own: folder={source}"
    for stem, (path, label) in sorted(images.items()):
        if stem not in labels:
            errors.add(
                UserError(f"The image '{path}' has no row in the table of {dataset}.", fix=f"remove it, {as_own}")
            )
        elif label == label and label != labels[stem]:
            message = f"'{path}' is in {CLASS_NAMES[int(label)]}; in {dataset} it is {CLASS_NAMES[int(labels[stem])]}."
            errors.add(UserError(message, fix=f"move it back, {as_own}"))
    errors.raise_if_any()


def add_votes(
    rows: pd.DataFrame, cells: pd.DataFrame, csv: Path, spellings: tuple[str, str], errors: ErrorCollector
) -> pd.DataFrame:
    """Return `rows` with the label and votes in `cells`: one column per expert, then the majority, indexed by file stem.

    Cells are spelled as in `spellings`: (normal, atypical). Raises `errors` with those added for other cells, and for a
    majority that is not that of the votes.
    """
    normal, atypical = spellings
    cells = cells.apply(lambda column: column.str.casefold().map({normal.casefold(): "N", atypical.casefold(): "A"}))
    votes, majority = cells.iloc[:, :-1], cells.iloc[:, -1]
    count = (votes == "A").sum(axis=1).astype(float)
    invalid = cells.isna().any(axis=1)
    for stem in cells.index[invalid]:
        errors.add(UserError(f"'{csv}' has a vote for '{stem}' other than {normal} or {atypical}.", fix="fix that row"))
    for stem in cells.index[~invalid & ((count > votes.shape[1] / 2) != (majority == "A"))]:
        errors.add(UserError(f"In '{csv}' the majority of '{stem}' is not that of its votes.", fix="fix that row"))
    errors.raise_if_any()
    label = majority.map({"N": NORMAL, "A": ATYPICAL}).astype(float)
    return rows.assign(
        label=label.reindex(rows.index).fillna(rows["label"]),
        votes_for=count.reindex(rows.index),
        votes=pd.Series(float(votes.shape[1]), index=cells.index).reindex(rows.index),
        expert_votes=votes.sum(axis=1).reindex(rows.index).fillna(""),
    )
