"""A published dataset's pictures and its table become a Cohort; what does not fit is told."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import CLASS_NAMES, MPP_UM, Cohort
from mitotype.datasets import layout
from mitotype.datasets.known import DIGITS

if TYPE_CHECKING:
    import pandas as pd

TEXT = ("case_id", "domain", "scanner", "tumour", "species", "expert_votes")
NUMBERS = ("label", "votes_for", "votes")


def own_folder(path: Path, title: str, table: pd.DataFrame | None) -> Path | None:
    """The folder with Atypical/ and Normal/ of the dataset `title`: by its name, here or inside, or by its pictures.

    With a shipped `table` a folder of any name is known again when its first pictures are the published files.
    """
    inner = layout.child(path, title)
    if inner is not None and layout.class_folders(inner):
        return inner
    classes = layout.class_folders(path)
    if not classes or path.name.casefold() == title.casefold():
        return path if classes else None
    if table is None:
        return None
    few = [file for place in classes.values() for file in islice(layout.pictures_in(place), 2)]
    digests = dict(zip(table.index, table["sha256"], strict=True))
    return path if few and all(digests.get(f.stem) == files.sha256(f)[:DIGITS] for f in few) else None


def assemble(
    dataset: str,
    table: pd.DataFrame,
    pictures: Mapping[str, tuple[Path, float]] | None,
    *,
    where: Path,
    mpp_um: float | None = None,
    notes: tuple[str, ...] = (),
) -> Cohort:
    """The Cohort of `table` (indexed by file name without ending) and `pictures` ({stem: (path, label of its folder)}).

    A picture that the table does not know, or that lies in the folder of the other class, is a Mistake; rows without a
    picture are left out and noted (a partial copy). With `pictures` None the rows come without paths.
    """
    rows = table.copy()
    for column in TEXT:
        rows[column] = rows[column].astype(str) if column in rows else ""
    for column in NUMBERS:
        rows[column] = rows[column].astype(float) if column in rows else float("nan")
    told = list(notes)
    if pictures is None:
        rows["path"] = ""
    else:
        _check(dataset, rows, pictures, where)
        absent = [stem for stem in rows.index if stem not in pictures]
        if len(absent) == len(rows):
            raise Mistake(
                f"None of the {len(rows)} pictures of {dataset} lies in '{where}'.",
                fix=f"give the folder with the pictures, or fetch them: mitotype fetch {dataset} DIR",
            )
        if absent:
            told.append(
                f"{dataset}: a partial copy: {len(rows) - len(absent)} of {len(rows)} patches are in '{where}'; "
                f"without a picture: {', '.join(absent[:3])}{' …' if len(absent) > 3 else ''}"
            )
        rows = rows[[stem in pictures for stem in rows.index]]
        rows["path"] = [str(pictures[stem][0]) for stem in rows.index]
    rows["mpp_um"] = MPP_UM if mpp_um is None else mpp_um
    if mpp_um is not None and mpp_um != MPP_UM:
        told.append(f"{dataset}: read at {mpp_um:g} µm/px as stated; it is published at {MPP_UM}")
    rows["dataset"] = dataset
    rows.insert(0, "patch_id", [f"{dataset}/{stem}" for stem in rows.index])
    return Cohort(dataset, rows.reset_index(drop=True), tuple(told))


def _check(dataset: str, rows: pd.DataFrame, pictures: Mapping[str, tuple[Path, float]], where: Path) -> None:
    trouble = Collector(show=10)
    known = rows["label"].to_dict()
    for stem, (path, label) in sorted(pictures.items()):
        if stem not in known:
            trouble.add(
                Mistake(
                    f"The picture '{path}' has no row in the table of {dataset}.",
                    fix=f"take it out, or read the folder as your own: folder={where}",
                )
            )
        elif label == label and label != known[stem]:
            trouble.add(
                Mistake(
                    f"'{path}' lies in {CLASS_NAMES[int(label)]}; {dataset} has it as {CLASS_NAMES[int(known[stem])]}.",
                    fix=f"move it back, or read the folder as your own: folder={where}",
                )
            )
    trouble.settle()


def count_note(cohort: Cohort, expected: tuple[int, int]) -> Cohort:
    """The cohort, with a note where its classes are counted otherwise than published (normal, atypical)."""
    label = cohort.rows["label"]
    found = (int((label == 0).sum()), int((label == 1).sum()))
    if found == expected or any("partial copy" in note for note in cohort.notes):
        return cohort
    note = f"{cohort.name}: {found[0]} normal and {found[1]} atypical patches; published are {expected[0]} and {expected[1]}"
    return Cohort(cohort.name, cohort.rows, (*cohort.notes, note))
