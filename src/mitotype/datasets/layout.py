"""What lies in a dataset's folder: pictures, class folders and csv files, found whatever the case of their names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.pictures import SUFFIXES
from mitotype.core.words import ATYPICAL, NORMAL

if TYPE_CHECKING:
    import pandas as pd

CLASS_FOLDERS = {"atypical": ATYPICAL, "normal": NORMAL}
WORDS = {
    "atypical": ATYPICAL, "amf": ATYPICAL, "1": ATYPICAL, "true": ATYPICAL,
    "normal": NORMAL, "nmf": NORMAL, "mf": NORMAL, "0": NORMAL, "false": NORMAL,
}  # fmt: skip
MAX_CSV_BYTES = 512 * 2**20


def hidden(name: str) -> bool:
    """.DS_Store, ._1.png and __MACOSX are no part of a dataset, though public copies carry them."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def child(folder: Path, name: str) -> Path | None:
    """The entry of `folder` called `name` whatever its case; the exact spelling wins."""
    if not folder.is_dir():
        return None
    entries = sorted(entry.name for entry in folder.iterdir() if entry.name.casefold() == name.casefold())
    return folder / (name if name in entries else entries[0]) if entries else None


def first(places: Sequence[Path], name: str) -> Path | None:
    """The first file called `name`, whatever its case, in the given folders."""
    for place in places:
        found = child(place, name)
        if found is not None and found.is_file():
            return found
    return None


def pictures_in(folder: Path) -> Iterator[Path]:
    """Every picture under `folder`, sorted, hidden files and folders left out. Links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in sorted(names):
            if not hidden(name) and name.lower().endswith(SUFFIXES):
                yield Path(place) / name


def class_folders(folder: Path) -> dict[int, Path]:
    """The folders Atypical and Normal inside `folder`, by label; either may be absent."""
    found = {}
    for name, label in CLASS_FOLDERS.items():
        place = child(folder, name)
        if place is not None and place.is_dir():
            found[label] = place
    return found


def by_stem(folder: Path, title: str) -> dict[str, tuple[Path, int]]:
    """{file name without ending: (path, label)} of the pictures in Atypical/ and Normal/.

    Raises a Mistake where a folder is absent or a name stands twice.
    """
    classes = class_folders(folder)
    if len(classes) < len(CLASS_FOLDERS):
        lacking = [name.capitalize() for name, label in CLASS_FOLDERS.items() if label not in classes]
        raise Mistake(
            f"'{folder}' holds no folder {' and no folder '.join(lacking)}; {title} has Atypical and Normal.",
            fix="give the folder that holds both, or fetch the dataset again: mitotype fetch --help",
        )
    found: dict[str, tuple[Path, int]] = {}
    trouble = Collector()
    for label, place in classes.items():
        for path in pictures_in(place):
            if path.stem in found:
                other = found[path.stem][0]
                trouble.add(Mistake(f"'{path}' and '{other}' are one patch by name.", fix="remove the wrong one"))
            found[path.stem] = (path, label)
    trouble.settle()
    return found


def read_csv(path: Path, needed: Sequence[str], *, what: str) -> pd.DataFrame:
    """A csv as text, blanks stripped, empty cells "". Windows line ends and a byte order mark are taken as they come.

    Raises a Mistake: absent, not UTF-8, no csv, or without the columns `needed` (saved with semicolons is told as such).
    """
    import pandas as pd

    if not path.is_file():
        raise Mistake(f"There is no {what} at '{path}'.")
    if path.stat().st_size > MAX_CSV_BYTES:
        raise Mistake(f"The {what} '{path}' has {path.stat().st_size} bytes; at most {MAX_CSV_BYTES} are read.")
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (ValueError, OSError) as error:  # pandas' own errors and UnicodeDecodeError are ValueErrors
        raise Mistake(
            f"The {what} '{path}' cannot be read: {str(error).splitlines()[0]}.",
            fix="save it again as UTF-8 csv, separated by commas, with one header line",
        ) from error
    rows.columns = [str(column).strip() for column in rows.columns]
    missing = [column for column in needed if column not in rows.columns]
    if missing:
        found = ", ".join(rows.columns)
        near = [match for column in missing for match in difflib.get_close_matches(column, list(rows.columns), n=1)]
        semicolons = len(rows.columns) == 1 and ";" in found
        raise Mistake(
            f"The {what} '{path}' lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {found[:200]}.",
            nearest=", ".join(near) or None,
            fix="save it with commas instead of semicolons" if semicolons else "add the column, or mend its name",
        )
    return rows.fillna("").apply(lambda column: column.str.strip())


def header(path: Path) -> tuple[str, ...]:
    """The column names of a csv, without reading on; empty where it is none."""
    try:
        with path.open(encoding="utf-8-sig", errors="strict") as file:
            return tuple(cell.strip().strip('"') for cell in file.readline(10_000).split(","))
    except (OSError, UnicodeDecodeError):
        return ()


def csv_with(folder: Path, columns: Sequence[str]) -> Path | None:
    """The first csv directly in `folder` (or `folder` itself, when it is a csv) whose header has all `columns`."""
    if folder.is_file():
        files = [folder] if folder.suffix.lower() == ".csv" else []
    elif folder.is_dir():
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() == ".csv" and not hidden(f.name))
    else:
        files = []
    return next((file for file in files if set(columns) <= set(header(file))), None)


def labels_of(words: Sequence[str], where: str) -> list[float]:
    """Labels of words (atypical, AMF, 1 · normal, NMF, 0, in any case; "" is nan); unknown ones are told together."""
    labels: list[float] = []
    strange: dict[str, int] = {}
    for line, word in enumerate(words, start=2):
        key = word.casefold().removesuffix(".0")
        if word and key not in WORDS:
            strange.setdefault(word[:40], line)
        labels.append(float(WORDS[key]) if key in WORDS else float("nan"))
    if strange:
        told = ", ".join(f"'{word}' (line {line})" for word, line in list(strange.items())[:5])
        raise Mistake(
            f"{where} has labels that are not known here: {told}.",
            allowed="atypical, AMF or 1; normal, NMF or 0; empty where nobody has labelled",
            fix="mend those cells",
        )
    return labels
