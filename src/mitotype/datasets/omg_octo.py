"""OMG-Octo Atypical: 1,753 figures on 125 slides, most of them atypical; one label per figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.datasets import Dataset, Source, datasets, layout
from mitotype.datasets.published import assemble, count_note

if TYPE_CHECKING:
    import pandas as pd

TITLE = "OMG-Octo Atypical"
SPELLINGS = (("image_id", "majority"), ("image_file", "label"))  # the columns of the copies in circulation


def recognises(path: Path) -> bool:
    return _csv(path) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """`path`: the folder of SLIDE_x…_y….png (at any depth) with its csv inside or beside it. The whole in every part."""
    csv = _csv(path)
    if csv is None:
        raise Mistake(
            f"No csv of {TITLE} (image_id, majority or image_file, label; SLIDE_x… names) lies in '{path}' or beside it.",
            fix="put it there, or: mitotype fetch omg-octo DIR",
        )
    folder = path if path.is_dir() else csv.parent
    pictures = {file.stem: (file, float("nan")) for file in layout.pictures_in(folder)}
    rows, notes = table_rows(csv)
    cohort = assemble("omg-octo", rows, pictures, where=folder, mpp_um=mpp_um, notes=notes)
    return count_note(cohort, DATASET.counts["all"])


def read_labels(csv: Path) -> Cohort:
    """The table without its pictures (`path` is ""): for counts and splits."""
    rows, notes = table_rows(csv)
    return count_note(assemble("omg-octo", rows, None, where=csv, notes=notes), DATASET.counts["all"])


def table_rows(csv: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The csv's rows in a cohort's words. Rows that are neither AMF nor NMF (MF), and second rows of one patch, are left
    out and noted. The slide is the file name up to the first underscore, as in the published column `filename`."""
    import pandas as pd

    image, majority = _spelling(csv)
    said = layout.read_csv(csv, (image, majority), what=f"table of {TITLE}")
    kept = said[majority].str.upper().isin(["AMF", "NMF", "MF"])
    notes = [] if kept.all() else [f"omg-octo: {int((~kept).sum())} rows are neither AMF nor NMF and were left out"]
    said = said[kept]
    labels = pd.Series(layout.labels_of(list(said[majority]), f"'{csv}'"), index=said[image].str.removesuffix(".png"))
    twice = labels.index.duplicated()
    if twice.any():
        different = labels.groupby(level=0).nunique() > 1
        if different.any():
            patch = different.index[different][0]
            raise Mistake(f"'{csv}' calls '{patch}' both atypical and normal.", fix="keep one of its rows", code="M005")
        notes.append(f"omg-octo: {int(twice.sum())} patches stand in two rows of one label; each is read once")
    rows = pd.DataFrame({"label": labels[~twice]})
    rows["case_id"] = "OMG-Octo/" + rows.index.str.split("_").str[0]
    rows["domain"] = "OMG-Octo"
    return rows, tuple(notes)


def _spelling(csv: Path) -> tuple[str, str]:
    columns = layout.header(csv)
    return next(pair for pair in SPELLINGS if set(pair) <= set(columns))


def _csv(path: Path) -> Path | None:
    """A csv with either spelling whose first row is named as this dataset names its pictures."""
    places = [path] if path.is_file() else [path, path.resolve().parent]
    for place in places:
        for pair in SPELLINGS:
            csv = layout.csv_with(place, pair)
            if csv is not None and "coordinateX" not in layout.header(csv) and _named(csv, pair[0]):
                return csv
    return None


def _named(csv: Path, column: str) -> bool:
    with csv.open(encoding="utf-8-sig", errors="replace") as file:
        names, cells = (file.readline(10_000).rstrip("\r\n").split(",") for _ in range(2))
    position = [name.strip().strip('"') for name in names].index(column)
    return "_x" in cells[position] and "_y" in cells[position] if position < len(cells) else False


DATASET = datasets.add("omg-octo")(
    Dataset(
        title=TITLE,
        url="https://doi.org/10.5281/zenodo.16107743",
        licence="as the Zenodo record states",
        citation="Shen et al., OMG-Octo Atypical: A Refinement of the Original OMG-Octo Database to Incorporate Atypical "
        "Mitoses, Zenodo 2025, doi:10.5281/zenodo.16107743",
        mpp_um=0.25,
        counts={"all": (378, 1375)},  # 1,757 rows, four of them twice
        known_overlaps=(),
        sources=(
            Source(urls=("https://zenodo.org/api/records/16107743",), save_as="OMG-Octo", listing=True, unpack=True),
        ),
        recognises=recognises,
        read=read,
    )
)
