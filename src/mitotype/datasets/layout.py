"""Files in a dataset's folder: images, class folders and csv files, found regardless of the case of their names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.images import SUFFIXES
from mitotype.core.schema import ATYPICAL, NORMAL

CLASS_FOLDERS = {"atypical": ATYPICAL, "normal": NORMAL}
LABELS = {
    "atypical": ATYPICAL, "amf": ATYPICAL, "1": ATYPICAL, "true": ATYPICAL,
    "normal": NORMAL, "nmf": NORMAL, "mf": NORMAL, "0": NORMAL, "false": NORMAL,
}  # fmt: skip
MAX_CSV_BYTES = 512 * 2**20


def is_hidden(name: str) -> bool:
    """Return whether a name is that of a file such as .DS_Store, ._1.png or __MACOSX, which public copies contain."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def find_child(folder: Path, name: str) -> Path | None:
    """Return the entry of `folder` called `name` regardless of case; the exact spelling takes precedence."""
    if not folder.is_dir():
        return None
    entries = sorted(entry.name for entry in folder.iterdir() if entry.name.casefold() == name.casefold())
    return folder / (name if name in entries else entries[0]) if entries else None


def find_file(folders: Sequence[Path], name: str) -> Path | None:
    """Return the first file called `name`, regardless of case, directly in the given folders."""
    children = (find_child(folder, name) for folder in folders)
    return next((child for child in children if child is not None and child.is_file()), None)


def iter_images(folder: Path) -> Iterator[Path]:
    """Yield every image under `folder` in sorted order, without hidden files and folders; links to folders are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            if not is_hidden(name) and name.lower().endswith(SUFFIXES):
                yield Path(parent) / name


def class_folders(folder: Path) -> dict[int, Path]:
    """Return the folders Atypical and Normal inside `folder` by label; either may be absent."""
    children = {label: find_child(folder, name) for name, label in CLASS_FOLDERS.items()}
    return {label: child for label, child in children.items() if child is not None and child.is_dir()}


def images_by_stem(folder: Path, title: str) -> dict[str, tuple[Path, float]]:
    """Return {file stem: (path, label)} of the images in Atypical/ and Normal/.

    Raises a UserError for an absent folder and for a stem that occurs twice.
    """
    classes = class_folders(folder)
    if len(classes) < len(CLASS_FOLDERS):
        absent = [name.capitalize() for name, label in CLASS_FOLDERS.items() if label not in classes]
        raise UserError(
            f"'{folder}' has no folder {' and no folder '.join(absent)}; {title} has Atypical and Normal.",
            fix="give the folder that holds both, or fetch the dataset again: mitotype fetch --help",
        )
    return index_by_stem((path, float(label)) for label, child in classes.items() for path in iter_images(child))


def index_by_stem(images: Iterable[tuple[Path, float]]) -> dict[str, tuple[Path, float]]:
    """Return {file stem: (path, label)}. Raises a UserError for stems that occur twice."""
    by_stem: dict[str, tuple[Path, float]] = {}
    errors = ErrorCollector()
    for path, label in images:
        if path.stem in by_stem:
            message = f"'{path}' and '{by_stem[path.stem][0]}' have the same patch name."
            errors.add(UserError(message, fix="remove the wrong file"))
        by_stem[path.stem] = (path, label)
    errors.raise_if_any()
    return by_stem


def read_csv(path: Path, required: Sequence[str], *, what: str) -> pd.DataFrame:
    """Return a csv as text, with blanks stripped and empty cells "". Windows line ends and a byte order mark are accepted.

    Raises a UserError for a file that is absent, too large, not UTF-8, no csv, or lacks a column of `required`.
    """
    if not path.is_file():
        raise UserError(f"There is no {what} at '{path}'.")
    if path.stat().st_size > MAX_CSV_BYTES:
        raise UserError(f"The {what} '{path}' has {path.stat().st_size} bytes.", allowed=f"at most {MAX_CSV_BYTES}")
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (ValueError, OSError) as error:  # pandas' own errors and UnicodeDecodeError are ValueErrors
        raise UserError(
            f"The {what} '{path}' cannot be read: {str(error).splitlines()[0]}.",
            fix="save it again as UTF-8 csv, separated by commas, with one header line",
        ) from error
    rows.columns = [str(column).strip() for column in rows.columns]
    missing = [column for column in required if column not in rows.columns]
    if missing:
        present = ", ".join(rows.columns)
        near = [match for column in missing for match in difflib.get_close_matches(column, list(rows.columns), n=1)]
        has_semicolons = len(rows.columns) == 1 and ";" in present
        raise UserError(
            f"The {what} '{path}' lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {present[:200]}.",
            nearest=", ".join(near) or None,
            fix="save it with commas instead of semicolons" if has_semicolons else "add the column, or fix its name",
        )
    return rows.fillna("").apply(lambda column: column.str.strip())


def csv_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a csv without reading its rows; empty for a file that is no text."""
    try:
        with path.open(encoding="utf-8-sig", errors="strict") as file:
            return tuple(cell.strip().strip('"') for cell in file.readline(10_000).split(","))
    except (OSError, UnicodeDecodeError):
        return ()


def find_csv(path: Path, columns: Sequence[str]) -> Path | None:
    """Return the first csv directly in the folder `path`, or `path` itself, whose header has all `columns`."""
    visible = (file for file in sorted(path.iterdir()) if not is_hidden(file.name)) if path.is_dir() else [path]
    candidates = (file for file in visible if file.suffix.lower() == ".csv")
    return next((file for file in candidates if set(columns) <= set(csv_header(file))), None)


def index_rows(rows: pd.DataFrame, stem: pd.Series, csv: Path) -> pd.DataFrame:
    """Return `rows` indexed by file stem. Raises a UserError for a stem with two rows."""
    rows = rows.set_axis(pd.Index(stem), axis=0)
    if rows.index.has_duplicates:
        repeated = rows.index[rows.index.duplicated()][0]
        raise UserError(f"'{csv}' has two rows for '{repeated}'.", fix="restore the published csv")
    return rows


def parse_labels(cells: Sequence[str], source: str) -> list[float]:
    """Return labels from cells of a csv (see LABELS, in any case); "" becomes nan. Raises a UserError for other cells."""
    labels: list[float] = []
    invalid: dict[str, int] = {}
    for line, cell in enumerate(cells, start=2):
        key = cell.casefold().removesuffix(".0")
        if cell and key not in LABELS:
            invalid.setdefault(cell[:40], line)
        labels.append(float(LABELS.get(key, float("nan"))))
    if invalid:
        shown = ", ".join(f"'{cell}' (line {line})" for cell, line in list(invalid.items())[:5])
        raise UserError(
            f"{source} has unknown labels: {shown}.",
            allowed="atypical, AMF or 1; normal, NMF or 0; empty for an unlabelled patch",
            fix="fix those cells",
        )
    return labels
