"""The user's own images: a csv, a folder with Atypical/ and Normal/, or unlabelled images. Pages of a TIFF become rows."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.images import FORMATS, MAX_PAGES, SUFFIXES, check_mpp
from mitotype.core.schema import CLASS_NAMES, MPP_UM, Cohort
from mitotype.datasets import layout
from mitotype.datasets.dataset import Dataset, datasets

OPTIONAL_TEXT = ("case_id", "domain", "scanner", "tumour", "species")
OPTIONAL_NUMBERS = ("votes_for", "votes", "mpp_um", "page")


def detect(path: Path) -> bool:
    return path.exists()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read a csv with the column `path` (optional: label, case_id, votes_for, votes, domain, scanner, tumour, species, mpp_um,
    page; paths are relative to the csv), a folder with one such csv, a folder with Atypical/ and Normal/, any other folder
    of images, or one image.

    The patch id is `<folder>/<path without suffix>`, with `#<page>` for a page of a stack. Without a case each patch is its
    own case (in class folders, a folder below them is a case); without µm/px 0.25 is used; both are noted. Damaged images
    and images of a wrong size are reported when they are packed.
    """
    csv = path if path.suffix.lower() == ".csv" else layout.find_csv(path, ("path",))
    if csv is not None:
        root = csv.parent
        rows, notes = _from_csv(csv)
    elif path.is_file():
        root = path.parent
        rows, notes = pd.DataFrame({"path": [str(path)]}), []
    else:
        root = path
        rows, notes = _from_folder(path)
    name = root.resolve().name or "folder"
    if not len(rows):
        fix = "give the folder or csv of the images"
        raise UserError(f"'{path}' holds no images.", allowed=", ".join(SUFFIXES), fix=fix)
    rows = _expand_pages(rows)
    rows["patch_id"] = _patch_ids(name, root, rows)
    rows["dataset"] = name
    return Cohort(name, _complete(rows, name, mpp_um, notes), tuple(notes))


def _from_folder(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    classes = layout.class_folders(folder)
    if not classes:
        return pd.DataFrame({"path": [str(image) for image in layout.iter_images(folder)]}), []
    rows = []
    for label, class_folder in sorted(classes.items()):
        for image in layout.iter_images(class_folder):
            case = image.parent.name if image.parent != class_folder else ""
            rows.append({"path": str(image), "label": float(label), "case_id": case})
    outside = sum(1 for _ in layout.iter_images(folder)) - len(rows)
    notes = [f"{folder.name}: {outside} images outside Atypical and Normal were not read"] if outside else []
    return pd.DataFrame(rows, columns=["path", "label", "case_id"]), notes


def _from_csv(csv: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of a csv with full paths, labels and checked numbers, and notes; errors are raised together."""
    table = layout.read_csv(csv, ("path",), what="list of images")
    table = table[table["path"] != ""]
    rows = pd.DataFrame({"path": [str(csv.parent / name) for name in table["path"]]})
    errors = ErrorCollector()
    for line, path in enumerate(rows["path"], start=2):
        if not Path(path).is_file():
            errors.add(UserError(f"'{csv}' line {line}: there is no file '{path}'.", fix="fix the path"))
    if "label" in table:
        with errors.capture():
            rows["label"] = layout.parse_labels(list(table["label"]), f"'{csv}'")
    for column in OPTIONAL_TEXT:
        if column in table:
            rows[column] = list(table[column])
    for column in OPTIONAL_NUMBERS:
        if column in table:
            with errors.capture():
                rows[column] = _parse_numbers(list(table[column]), csv, column)
    if "votes" in rows and "votes_for" in rows and (rows["votes_for"] > rows["votes"]).any():
        errors.add(UserError(f"'{csv}' has rows with more votes_for than votes.", fix="fix those rows"))
    errors.raise_if_any()
    listed = {str(Path(path).resolve()) for path in rows["path"]}
    unlisted = sum(str(image.resolve()) not in listed for image in layout.iter_images(csv.parent))
    notes = [f"{csv.name}: {unlisted} images beside it have no row and were not read"] if unlisted else []
    return rows, notes


def _parse_numbers(cells: Sequence[str], csv: Path, column: str) -> list[float]:
    values = []
    for line, cell in enumerate(cells, start=2):
        try:
            value = float(cell) if cell else math.nan
        except ValueError as error:
            message = f"'{csv}' line {line} has {column} '{cell[:40]}', not a number."
            raise UserError(message, fix="fix that cell") from error
        if value < 0 or math.isinf(value):
            raise UserError(f"'{csv}' line {line} has {column} {value:g}.", allowed="0 or more", fix="fix that cell")
        values.append(value)
    return values


def _expand_pages(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per page of a multi-page TIFF, unless the csv states the page."""
    stated = rows["page"] if "page" in rows else pd.Series(math.nan, index=rows.index)
    errors = ErrorCollector()
    pages = []
    for path, page in zip(rows["path"], stated, strict=True):
        with errors.capture():
            count = count_pages(Path(path)) if path.lower().endswith((".tif", ".tiff")) else 1
            if page >= count:
                raise UserError(f"'{path}' has {count} pages and no page {page:g} (the first is 0).")
            pages.append(list(range(count)) if math.isnan(page) else [int(page)])
    errors.raise_if_any()
    if all(numbers == [0] for numbers in pages):
        return rows.drop(columns="page", errors="ignore")
    rows = rows.assign(page=pd.Series(pages, index=rows.index)).explode("page", ignore_index=True)
    return rows.astype({"page": "int64"})


def count_pages(path: Path) -> int:
    """Return the number of pages of a TIFF from its headers. Raises a UserError for a damaged file."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            count = int(getattr(image, "n_frames", 1))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"The image '{path}' is damaged: {error}.", fix="copy it again, or leave it out") from error
    if count > MAX_PAGES:
        raise UserError(f"The image '{path}' has {count} pages.", allowed=f"at most {MAX_PAGES}", fix="split it")
    return count


def _patch_ids(name: str, root: Path, rows: pd.DataFrame) -> list[str]:
    """Return `<name>/<path without suffix>[#<page>]`; files that differ in their suffix alone keep it."""
    paths = [Path(path) for path in rows["path"]]
    paths = [path.relative_to(root) if path.is_relative_to(root) else path for path in paths]
    files_per_stem = Counter(path.with_suffix("") for path in set(paths))
    names = [p.with_suffix("") if files_per_stem[p.with_suffix("")] == 1 else p for p in paths]
    pages = [f"#{page}" for page in rows["page"]] if "page" in rows else [""] * len(rows)
    return [f"{name}/{path.as_posix()}{page}" for path, page in zip(names, pages, strict=True)]


def _complete(rows: pd.DataFrame, name: str, mpp_um: float | None, notes: list[str]) -> pd.DataFrame:
    """Return the rows with every column of a cohort; assumptions are appended to `notes`."""
    for column in ("label", "votes_for", "votes", "mpp_um"):
        if column not in rows:
            rows[column] = math.nan
    for column in OPTIONAL_TEXT:
        if column not in rows:
            rows[column] = ""
    unstated = rows["mpp_um"].isna()
    if mpp_um is not None:
        check_mpp(mpp_um, name)
    elif unstated.any():
        notes.append(
            f"{name}: µm/px is not stated for {int(unstated.sum())} images; {MPP_UM} is used (set it with --mpp)"
        )
    rows.loc[unstated, "mpp_um"] = MPP_UM if mpp_um is None else mpp_um
    for value in rows["mpp_um"].unique():
        check_mpp(value, name)
    caseless = rows["case_id"] == ""
    if caseless.any():
        rows.loc[caseless, "case_id"] = rows.loc[caseless, "patch_id"]
        if rows["label"].notna().any():
            notes.append(
                f"{name}: no case is stated for {int(caseless.sum())} patches; each counts as a case of its own, so "
                "intervals are too narrow and splits may leak (column case_id)"
            )
    labels = set(rows["label"].dropna())
    if len(labels) == 1:
        notes.append(f"{name}: every labelled patch is {CLASS_NAMES[int(labels.pop())]}: one class only")
    return rows


datasets.add("folder")(
    Dataset(
        title="your own images",
        license="yours",
        mpp_um=None,
        known_overlaps=("unknown: mitotype audit compares them with the published sets by image",),
        detect=detect,
        read=read,
    )
)
