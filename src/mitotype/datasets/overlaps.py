"""What a training cohort shares with a test set, by slide and by picture: held out, noted (M006) or refused (M004)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files, pictures
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import Cohort
from mitotype.datasets.known import DIGITS, PARTS, TESTS, Marks, marks

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Overlap:
    """What training and test share. `cases` are in both; `patches` are the test patches whose picture was trained on."""

    test: str
    cases: tuple[str, ...]
    patches: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.cases or self.patches)

    def __str__(self) -> str:
        shown = [f"{len(self.patches)} pictures ('{self.patches[0]}' first)"] if self.patches else []
        shown += [f"{len(self.cases)} cases ('{self.cases[0]}' first)"] if self.cases else []
        return " and ".join(shown) or "nothing"

    def mistake(self) -> Mistake:
        """The Mistake that refuses to score (M004, or M001 where only cases are shared)."""
        again = f"train again with --hold-out {self.test}" if self.test in PARTS else "train again without them"
        return Mistake(
            f"'{self.test}' shares {self} with what was trained on: its scores would flatter.",
            fix=f"{again}, or score a set that was not trained on",
            code="M004" if self.patches else "M001",
        )


def file_digests(cohort: Cohort) -> list[str]:
    """First digits of the sha256 of every row's file, "" where there is no file; each file is read once."""
    paths = list(dict.fromkeys(path for path in cohort.rows["path"] if path and Path(path).is_file()))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(paths, pool.map(lambda path: files.sha256(Path(path))[:DIGITS], paths), strict=True))
    return [found.get(path, "") for path in cohort.rows["path"]]


def pixel_digests(cohort: Cohort) -> list[str]:
    """First digits of the digest of every row's pixels, "" where there is no file. A damaged picture is a Mistake."""
    pages = [int(page) for page in cohort.rows["page"]] if "page" in cohort.rows else [0] * len(cohort)
    wanted: dict[str, set[int]] = {}
    for path, page in zip(cohort.rows["path"], pages, strict=True):
        if path and Path(path).is_file():
            wanted.setdefault(path, set()).add(page)
    trouble = Collector()
    found: dict[tuple[str, int], str] = {}

    def decode(item: tuple[str, set[int]]) -> None:
        path, numbers = item
        with trouble.note():
            for page, image in zip(sorted(numbers), pictures.read_pages(Path(path), sorted(numbers)), strict=True):
                found[path, page] = pictures.digest(image)[:DIGITS]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, wanted.items()))
    trouble.found.sort(key=str)
    trouble.settle()
    return [found.get((path, page), "") for path, page in zip(cohort.rows["path"], pages, strict=True)]


def marks_of(cohort: Cohort, digests: Sequence[str] | None = None) -> Marks:
    """The marks of a cohort at hand. `digests`: its pixel digests in order (Pack.digests), else they are worked out."""
    pixels = [d[:DIGITS] for d in digests] if digests is not None else pixel_digests(cohort)
    return Marks(
        cohort.name,
        frozenset(cohort.rows["case_id"]),
        frozenset(file_digests(cohort)) - {""},
        frozenset(pixels) - {""},
    )


def hold_out(cohort: Cohort, tests: Sequence[str | Cohort], *, digests: Sequence[str] | None = None) -> Cohort:
    """The training cohort without the rows that overlap a test set, by case and by picture; what was dropped is noted.

    tests: names of published sets (amibr-test, atnorm-br, atnorm-md …: known by the shipped tables, their pictures need
    not be there) or cohorts at hand. digests: the pixel digests of `cohort` in order, where they are known already.
    A row without a picture is compared by its case alone.

    Raises a Mistake: an unknown name, or nothing remains.
    """
    import pandas as pd

    sets = [marks(test) if isinstance(test, str) else marks_of(test) for test in tests]
    if not sets:
        return cohort
    own_files = pd.Series(file_digests(cohort))
    own_pixels = pd.Series([d[:DIGITS] for d in digests] if digests is not None else pixel_digests(cohort))
    cases = cohort.rows["case_id"]
    keep = pd.Series(True, index=cohort.rows.index)
    notes = []
    for test in sets:
        by_case = cases.isin(test.cases)
        by_picture = (own_files.isin(test.files) | own_pixels.isin(test.pixels)) & ~by_case
        dropped = by_case | by_picture
        notes.append(
            f"{cohort.name}: {int(dropped.sum())} patches overlap {test.name} and are held out "
            f"({int(by_case.sum())} on {cases[by_case].nunique()} of its cases, {int(by_picture.sum())} more by picture)"
        )
        keep &= ~dropped
    if not keep.any():
        names = ", ".join(test.name for test in sets)
        raise Mistake(f"Nothing of '{cohort.name}' remains when {names} is held out.", fix="train on other data")
    kept = cohort.take(keep)
    return Cohort(kept.name, kept.rows, (*kept.notes, *notes))


def known_overlaps(cohort: Cohort, *, digests: Sequence[str] | None = None) -> tuple[str, ...]:
    """A note (M006) for each published test set that the training cohort overlaps: by case, by file, and by pixels where
    `digests` are given. Cheap: no picture is decoded."""
    cases, own_files = cohort.rows["case_id"], file_digests(cohort)
    pixels = [d[:DIGITS] for d in digests] if digests is not None else [""] * len(cohort)
    notes = []
    for test in map(marks, TESTS):
        shared = [
            case in test.cases or file in test.files or picture in test.pixels
            for case, file, picture in zip(cases, own_files, pixels, strict=True)
        ]
        if any(shared):
            notes.append(
                f"M006: {sum(shared)} patches of {cohort.name} belong to {test.name} or to its slides: a model trained on "
                f"them cannot be tested on it (--hold-out {test.name})"
            )
    return tuple(notes)


def overlap(train_patches: pd.DataFrame, test: Cohort, *, digests: Sequence[str] | None = None) -> Overlap:
    """What a trained run shares with a test cohort; false when nothing.

    train_patches: the run's patches (case_id, digest). digests: the test's pixel digests in order (Pack.digests), else
    they are worked out from the pictures.
    """
    trained = {str(d)[:DIGITS] for d in train_patches["digest"] if isinstance(d, str) and d}
    own = [d[:DIGITS] for d in digests] if digests is not None else pixel_digests(test)
    same = [patch for patch, d in zip(test.rows["patch_id"], own, strict=True) if d and d in trained]
    cases = sorted((set(train_patches["case_id"]) & set(test.rows["case_id"])) - {""})
    return Overlap(test.name, tuple(cases), tuple(same))


def known_names() -> tuple[str, ...]:
    """What `--hold-out` takes by name."""
    return tuple(PARTS)
