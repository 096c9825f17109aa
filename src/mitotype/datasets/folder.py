"""The user's own pictures: a csv, a folder with Atypical/ and Normal/, or unlabelled pictures. TIFF pages become rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.pictures import FORMATS, MAX_PAGES, SUFFIXES, check_mpp
from mitotype.core.words import MPP_UM, Cohort
from mitotype.datasets import Dataset, datasets, layout

if TYPE_CHECKING:
    import pandas as pd

OPTIONAL_TEXT = ("case_id", "domain", "scanner", "tumour", "species")
OPTIONAL_NUMBERS = ("votes_for", "votes", "mpp_um", "page")


def recognises(path: Path) -> bool:
    return path.exists()


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """`path`: a csv with the column `path` (and label, case_id, votes_for, votes, domain, scanner, tumour, species,
    mpp_um, page where known; paths are relative to the csv), a folder that holds one such csv, a folder with Atypical/ and
    Normal/, any other folder of pictures, or one picture.

    The patch is called `<folder>/<path without ending>`, with `#<page>` for a page of a stack. Where no case is stated
    each patch is its own case, and in class folders a folder below them is one; where no µm/px is stated 0.25 is taken.
    All of this is noted. Damaged or mis-sized pictures are told when they are packed.
    """
    import pandas as pd

    csv = path if path.suffix.lower() == ".csv" else layout.csv_with(path, ("path",))
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
        raise Mistake(
            f"'{path}' holds no pictures.", allowed=", ".join(SUFFIXES), fix="give the folder or csv of the pictures"
        )
    rows = _paged(rows)
    rows["patch_id"] = _ids(name, root, rows)
    rows["dataset"] = name
    return Cohort(name, _completed(rows, name, mpp_um, notes), tuple(notes))


def _from_folder(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    classes = layout.class_folders(folder)
    if not classes:
        return pd.DataFrame({"path": [str(picture) for picture in layout.pictures_in(folder)]}), []
    found = []
    for label, place in sorted(classes.items()):
        for picture in layout.pictures_in(place):
            case = picture.parent.name if picture.parent != place else ""
            found.append({"path": str(picture), "label": float(label), "case_id": case})
    outside = sum(1 for _ in layout.pictures_in(folder)) - len(found)
    notes = [f"{folder.name}: {outside} pictures outside Atypical and Normal were not read"] if outside else []
    return pd.DataFrame(found, columns=["path", "label", "case_id"]), notes


def _from_csv(csv: Path) -> tuple[pd.DataFrame, list[str]]:
    """The csv's rows with paths made whole, words read and numbers checked; all mistakes told together."""
    import pandas as pd

    said = layout.read_csv(csv, ("path",), what="list of pictures")
    said = said[said["path"] != ""]
    rows = pd.DataFrame({"path": [str(csv.parent / name) for name in said["path"]]})
    trouble = Collector()
    for line, path in enumerate(rows["path"], start=2):
        if not Path(path).is_file():
            trouble.add(Mistake(f"'{csv}' line {line} names '{path}', which is not there.", fix="mend the path"))
    if "label" in said:
        with trouble.note():
            rows["label"] = layout.labels_of(list(said["label"]), f"'{csv}'")
    for column in OPTIONAL_TEXT:
        if column in said:
            rows[column] = list(said[column])
    for column in OPTIONAL_NUMBERS:
        if column in said:
            with trouble.note():
                rows[column] = _numbers(list(said[column]), csv, column)
    if "votes" in rows and "votes_for" in rows and (rows["votes_for"] > rows["votes"]).any():
        trouble.add(Mistake(f"'{csv}' has rows with more votes_for than votes.", fix="mend those rows"))
    trouble.settle()
    used = {str(Path(path).resolve()) for path in rows["path"]}
    unlisted = sum(str(picture.resolve()) not in used for picture in layout.pictures_in(csv.parent))
    notes = [f"{csv.name}: {unlisted} pictures beside it have no row and were not read"] if unlisted else []
    return rows, notes


def _numbers(cells: Sequence[str], csv: Path, column: str) -> list[float]:
    values = []
    for line, cell in enumerate(cells, start=2):
        try:
            value = float(cell) if cell else float("nan")
        except ValueError as error:
            raise Mistake(
                f"'{csv}' line {line} has {column} '{cell[:40]}', not a number.", fix="mend that cell"
            ) from error
        if value < 0 or value in (float("inf"), float("-inf")):
            raise Mistake(f"'{csv}' line {line} has {column} {value:g}.", allowed="0 or more", fix="mend that cell")
        values.append(value)
    return values


def _paged(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per page of a multi-page TIFF, unless the csv names the page."""
    import pandas as pd

    stated = rows["page"] if "page" in rows else pd.Series(float("nan"), index=rows.index)
    trouble = Collector()
    counts = []
    for path, page in zip(rows["path"], stated, strict=True):
        with trouble.note():
            count = pages_of(Path(path)) if path.lower().endswith((".tif", ".tiff")) else 1
            if page == page and page >= count:
                raise Mistake(f"'{path}' has {count} pages; page {page:g} was asked for (the first is 0).")
            counts.append([int(page)] if page == page else list(range(count)))
    trouble.settle()
    if all(pages == [0] for pages in counts):
        return rows.drop(columns="page", errors="ignore")
    return (
        rows.assign(page=pd.Series(counts, index=rows.index))
        .explode("page", ignore_index=True)
        .astype({"page": "int64"})
    )


def pages_of(path: Path) -> int:
    """How many pages a TIFF has, by its headers. A damaged one is a Mistake."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            count = int(getattr(image, "n_frames", 1))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Mistake(f"The picture '{path}' is damaged: {error}.", fix="copy it again, or leave it out") from error
    if count > MAX_PAGES:
        raise Mistake(f"The picture '{path}' has {count} pages.", allowed=f"at most {MAX_PAGES}", fix="split it")
    return count


def _ids(name: str, root: Path, rows: pd.DataFrame) -> list[str]:
    """`<name>/<path without ending>`; two files that differ in their ending alone keep it."""
    places = []
    for path in rows["path"]:
        file = Path(path)
        places.append(file.relative_to(root) if file.is_relative_to(root) else file)
    stems = [place.with_suffix("").as_posix() for place in places]
    files: dict[str, set[str]] = {}
    for stem, place in zip(stems, places, strict=True):
        files.setdefault(stem, set()).add(place.suffix)
    whole = [place.as_posix() if len(files[stem]) > 1 else stem for stem, place in zip(stems, places, strict=True)]
    pages = [f"#{page}" for page in rows["page"]] if "page" in rows else [""] * len(whole)
    return [f"{name}/{stem}{page}" for stem, page in zip(whole, pages, strict=True)]


def _completed(rows: pd.DataFrame, name: str, mpp_um: float | None, notes: list[str]) -> pd.DataFrame:
    """Every column of a cohort; what was taken for granted goes into `notes`."""
    for column in ("label", "votes_for", "votes", "mpp_um"):
        if column not in rows:
            rows[column] = float("nan")
    for column in OPTIONAL_TEXT:
        if column not in rows:
            rows[column] = ""
    unstated = rows["mpp_um"].isna()
    if mpp_um is not None:
        check_mpp(mpp_um, name)
    elif unstated.any():
        notes.append(
            f"{name}: µm/px is not stated for {int(unstated.sum())} pictures; {MPP_UM} is taken (--mpp states it)"
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
    labelled = set(rows["label"].dropna())
    if len(labelled) == 1:
        notes.append(f"{name}: every labelled patch is {'atypical' if 1.0 in labelled else 'normal'}: one class only")
    return rows


DATASET = datasets.add("folder")(
    Dataset(
        title="your own pictures",
        url="",
        licence="yours",
        citation="",
        mpp_um=None,
        counts={},
        known_overlaps=("unknown: mitotype audit compares them with the published sets by picture",),
        sources=(),
        recognises=recognises,
        read=read,
    )
)
