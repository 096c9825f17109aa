"""What a training cohort shares with a test set, by case and by image: held out, noted (M006) or an error (M004)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mitotype.core import files, images
from mitotype.core.cpu_limit import n_threads
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import Cohort
from mitotype.datasets import fingerprints
from mitotype.datasets.dataset import datasets, named_parts
from mitotype.datasets.fingerprints import DIGEST_CHARS, Fingerprints


@dataclass(frozen=True)
class Overlap:
    """What training and test share: `cases` in both, and `patches` of the test set whose images were trained on."""

    test: str
    cases: tuple[str, ...]
    patches: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.cases or self.patches)

    def __str__(self) -> str:
        counts = [
            f"{len(shared)} {what} ('{shared[0]}' first)"
            for shared, what in ((self.patches, "images"), (self.cases, "cases"))
            if shared
        ]
        return " and ".join(counts) or "nothing"

    def error(self) -> UserError:
        """Return the error that prevents scoring (M004, or M001 where only cases are shared)."""
        retrain = (
            f"train again with --hold-out {self.test}"
            if self.test in fingerprints.names()
            else "train again without them"
        )
        return UserError(
            f"'{self.test}' shares {self} with the training data: its scores would be optimistic.",
            fix=f"{retrain}, or score data that were not trained on"
            + ("" if self.patches else "; if these are other patients, give case ids that no other data have"),
            code="M004" if self.patches else "M001",
        )


def file_digests(cohort: Cohort) -> list[str]:
    """Return the first DIGEST_CHARS of the sha256 of every row's file, "" without a file; each file is read once."""
    paths = list(dict.fromkeys(path for path in cohort.rows["path"] if path and Path(path).is_file()))
    with ThreadPoolExecutor(n_threads()) as pool:
        digests = dict(zip(paths, pool.map(lambda path: files.sha256(Path(path))[:DIGEST_CHARS], paths), strict=True))
    return [digests.get(path, "") for path in cohort.rows["path"]]


def pixel_digests(cohort: Cohort, digests: Sequence[str] | None = None) -> list[str]:
    """Return the first DIGEST_CHARS of the pixel digest of every row, "" without a file.

    `digests` are the full digests in order (Pack.digests) where they have been computed; otherwise images are decoded.
    Raises a UserError for damaged images.
    """
    if digests is not None:
        return [digest[:DIGEST_CHARS] for digest in digests]
    pages = [int(page) for page in cohort.rows["page"]] if "page" in cohort.rows else [0] * len(cohort)
    pages_of: dict[str, set[int]] = {}
    for path, page in zip(cohort.rows["path"], pages, strict=True):
        if path and Path(path).is_file():
            pages_of.setdefault(path, set()).add(page)
    errors = ErrorCollector()
    by_page: dict[tuple[str, int], str] = {}

    def decode(path: str) -> None:
        numbers = sorted(pages_of[path])
        with errors.capture():
            for page, image in zip(numbers, images.read_pages(Path(path), numbers), strict=True):
                by_page[path, page] = images.digest(image)[:DIGEST_CHARS]

    with ThreadPoolExecutor(n_threads()) as pool:
        list(pool.map(decode, pages_of))
    errors.errors.sort(key=str)
    errors.raise_if_any()
    return [by_page.get((path, page), "") for path, page in zip(cohort.rows["path"], pages, strict=True)]


def fingerprints_of(cohort: Cohort) -> Fingerprints:
    """Return the fingerprints of a cohort whose images are present."""
    cases, file, pixels = cohort.rows["case_id"], file_digests(cohort), pixel_digests(cohort)
    return Fingerprints(cohort.name, frozenset(cases), frozenset(file) - {""}, frozenset(pixels) - {""})


def hold_out(cohort: Cohort, tests: Sequence[str | Cohort], *, digests: Sequence[str] | None = None) -> Cohort:
    """Return the training cohort without the rows that overlap a test set by case or image; how many were dropped is noted.

    Parameters
    ----------
    tests : names of published sets (amibr-test, atnorm-br, atnorm-md …, whose images are not needed), or cohorts
    digests : pixel digests of `cohort` in order, if they have been computed

    A row without an image is compared by its case alone. Raises a UserError for an unknown name, and if no row remains.
    """
    sets = [fingerprints.load(test) if isinstance(test, str) else fingerprints_of(test) for test in tests]
    if not sets:
        return cohort
    file = pd.Series(file_digests(cohort))
    pixels = pd.Series(pixel_digests(cohort, digests))
    cases = cohort.rows["case_id"]
    dropped = pd.Series(False, index=cohort.rows.index)
    notes = []
    for test in sets:
        by_case = cases.isin(test.cases)
        by_image = (file.isin(test.files) | pixels.isin(test.pixels)) & ~by_case
        notes.append(
            f"{cohort.name}: {int((by_case | by_image).sum())} patches overlap {test.name} and are held out "
            f"({int(by_case.sum())} on {cases[by_case].nunique()} of its cases, {int(by_image.sum())} more by image)"
        )
        dropped |= by_case | by_image
    if dropped.all():
        names = ", ".join(test.name for test in sets)
        raise UserError(f"No patch of '{cohort.name}' remains when {names} is held out.", fix="train on other data")
    rest = cohort.take(~dropped)
    return Cohort(rest.name, rest.rows, (*rest.notes, *notes))


def published_overlaps(cohort: Cohort, digests: Sequence[str] | None = None) -> dict[str, pd.Series]:
    """Return, for each published test set that the cohort overlaps, the mask of the rows that belong to it or its cases.

    Rows are compared by case, by file, and by pixels where `digests` are given; no image is decoded.
    """
    case, file = cohort.rows["case_id"], pd.Series(file_digests(cohort), index=cohort.rows.index, dtype=str)
    pixels = pd.Series("" if digests is None else pixel_digests(cohort, digests), index=cohort.rows.index, dtype=str)
    masks = {}
    for test in map(fingerprints.load, fingerprints.test_sets()):
        mask = case.isin(test.cases) | file.isin(test.files) | pixels.isin(test.pixels)
        if mask.any():
            masks[test.name] = mask
    return masks


def known_overlaps(names: Iterable[str]) -> dict[str, list[str]]:
    """Return, among the datasets in `names`, those that each is known to share slides with (`Dataset.overlaps`, both ways)."""
    parts = named_parts()
    owners = {name: parts[name][0] if name in parts else name for name in names}
    stated = {owner: datasets.get(owner).overlaps for owner in owners.values() if owner in datasets}
    pairs = {(a, parts[b][0] if b in parts else b) for a, others in stated.items() for b in others}
    shared = {
        name: [other for other in owners if (owner, owners[other]) in pairs or (owners[other], owner) in pairs]
        for name, owner in owners.items()
    }
    return {name: others for name, others in shared.items() if others}


def overlap_notes(cohort: Cohort, *, digests: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return a note (M006) for each published test set that the training cohort overlaps (see `published_overlaps`)."""
    return tuple(
        f"M006: {mask.sum()} patches of {cohort.name} belong to {test} or to its cases: a model trained on them cannot be "
        f"tested on it (--hold-out {test})"
        for test, mask in published_overlaps(cohort, digests).items()
    )


def find_overlap(train_patches: pd.DataFrame, test: Cohort, *, digests: Sequence[str] | None = None) -> Overlap:
    """Return what the patches of a run (columns case_id, digest) share with a test cohort; it is false if nothing.

    `digests` are the pixel digests of the test cohort in order, if they have been computed.
    """
    trained = {str(d)[:DIGEST_CHARS] for d in train_patches["digest"] if isinstance(d, str) and d}
    pixels = pixel_digests(test, digests)
    patches = [patch for patch, d in zip(test.rows["patch_id"], pixels, strict=True) if d and d in trained]
    cases = sorted((set(train_patches["case_id"]) & set(test.rows["case_id"])) - {""})
    return Overlap(test.name, tuple(cases), tuple(patches))
