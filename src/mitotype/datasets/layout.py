"""Files in a dataset's folder: images, class folders and csv files, found regardless of the case of their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from mitotype.core import tables, walk
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.images import SUFFIXES
from mitotype.core.labels import CLASS_FOLDERS
from mitotype.core.schema import CLASS_NAMES


def find_child(folder: Path, name: str) -> Path | None:
    """Return the entry of `folder` called `name` regardless of case; the exact spelling takes precedence."""
    if not walk.is_folder(folder):
        return None
    entries = [entry.name for entry in walk.children(folder) if entry.name.casefold() == name.casefold()]
    return folder / (name if name in entries else entries[0]) if entries else None


def find_file(folders: Sequence[Path], name: str) -> Path | None:
    """Return the first file called `name`, regardless of case, directly in the given folders."""
    children = (find_child(folder, name) for folder in folders)
    return next((child for child in children if child is not None and walk.is_file(child)), None)


def parent(path: Path) -> list[Path]:
    """Return the folder that holds `path`; nothing if it cannot be listed: it was not given, only its content is."""
    folder = path.resolve().parent
    return [folder] if os.access(folder, os.R_OK | os.X_OK) else []


def iter_images(folder: Path) -> Iterator[Path]:
    """Yield every image under `folder`, see `walk.iter_files`."""
    return walk.iter_files(folder, SUFFIXES)


def class_folders(folder: Path) -> dict[int, Path]:
    """Return the folders of the classes inside `folder` by label; either may be absent. Their names are Atypical and Normal,
    or AMF and NMF, in any case: what the same labels are in a csv.

    Raises a UserError for two folders of one class.
    """
    if not walk.is_folder(folder):
        return {}
    classes: dict[int, Path] = {}
    for child in walk.children(folder):
        label = CLASS_FOLDERS.get(child.name.casefold())
        if label is None or not walk.is_folder(child):
            continue
        if label in classes:
            names = f"'{classes[label].name}' and '{child.name}'"
            raise UserError(f"'{folder}' has two folders of one class: {names}.", fix="move their images into one")
        classes[label] = child
    return classes


def images_by_stem(folder: Path, title: str) -> dict[str, tuple[Path, float]]:
    """Return {file stem: (path, label)} of the images in Atypical/ and Normal/.

    Raises a UserError for an absent folder and for a stem that occurs twice.
    """
    classes = class_folders(folder)
    if len(classes) < len(CLASS_NAMES):
        absent = [name.capitalize() for label, name in enumerate(CLASS_NAMES) if label not in classes]
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


def find_csv(path: Path, columns: Sequence[str]) -> Path | None:
    """Return the first csv directly in the folder `path`, or `path` itself, whose header has all `columns`."""
    candidates = walk.children(path) if walk.is_folder(path) else [path]
    csvs = (file for file in candidates if file.suffix.lower() == ".csv")
    return next((file for file in csvs if set(columns) <= {cell for row in tables.peek(file) for cell in row}), None)


def index_rows(rows: pd.DataFrame, stem: pd.Series, csv: Path) -> pd.DataFrame:
    """Return `rows` indexed by file stem. Raises a UserError for a stem with two rows."""
    repeated = stem[stem.duplicated(keep=False)]
    if len(repeated):
        first, second = repeated.index[repeated == repeated.iloc[0]][:2]
        message = f"'{csv}' has two rows for '{repeated.iloc[0]}': lines {first} and {second}."
        raise UserError(message, fix="restore the published csv")
    return rows.set_axis(pd.Index(stem), axis=0)
