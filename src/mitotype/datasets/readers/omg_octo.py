"""OMG-Octo Atypical: 1,753 figures on 125 slides, most of them atypical; one label per figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mitotype.core import tables, walk
from mitotype.core.errors import UserError
from mitotype.core.labels import parse_labels
from mitotype.core.schema import Cohort
from mitotype.datasets import layout
from mitotype.datasets.assemble import assemble
from mitotype.datasets.dataset import Dataset, Source, datasets

TITLE = "OMG-Octo Atypical"
COLUMNS = (("image_id", "majority"), ("image_file", "label"))  # image and label in the two copies in circulation


def detect(path: Path) -> bool:
    return _find_csv(path) is not None


def read(path: Path, part: str, mpp_um: float | None) -> Cohort:
    """Read the folder of SLIDE_x…_y….png (at any depth) with its csv inside or beside it. All patches for every part."""
    csv = _find_csv(path)
    if csv is None:
        raise UserError(
            f"No csv of {TITLE} (image_id, majority or image_file, label; SLIDE_x… names) is in '{path}' or beside it.",
            fix="put it there, or: mitotype fetch omg-octo DIR",
        )
    folder = path if path.is_dir() else csv.parent
    images = {file.stem: (file, float("nan")) for file in layout.iter_images(folder)}
    rows, notes = read_rows(csv)
    return assemble("omg-octo", rows, images, source=folder, mpp_um=mpp_um, notes=notes)


def read_rows(csv: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows of the csv as columns of a cohort, indexed by file stem, and notes.

    Rows that are neither AMF nor NMF (MF), and second rows of one patch, are dropped and noted. The slide is the file name
    up to the first underscore, as in the published column `filename`.
    """
    header = tables.peek(csv)[0]
    image, majority = next(pair for pair in COLUMNS if set(pair) <= set(header))
    table = tables.read(csv, (image, majority), what=f"table of {TITLE}")
    labelled = table[majority].str.upper().isin(["AMF", "NMF", "MF"])
    notes = (
        [] if labelled.all() else [f"omg-octo: {int((~labelled).sum())} rows are neither AMF nor NMF and were dropped"]
    )
    table = table[labelled]
    label = pd.Series(parse_labels(table[majority], f"'{csv}'"), table[image].str.removesuffix(".png"))
    repeated = label.index.duplicated()
    if repeated.any():
        labels = label.groupby(level=0).nunique()
        if (labels > 1).any():
            message = f"'{csv}' labels '{labels.index[labels > 1][0]}' both atypical and normal."
            raise UserError(message, fix="remove one of its rows", code="M005")
        notes.append(f"omg-octo: {int(repeated.sum())} patches have two rows of one label; the first is used")
    rows = pd.DataFrame({"label": label[~repeated]})
    rows["case_id"] = "OMG-Octo/" + rows.index.str.split("_").str[0]
    rows["domain"] = "OMG-Octo"
    return rows, tuple(notes)


def _find_csv(path: Path) -> Path | None:
    """Return a csv with the columns of either copy whose first row names an image of this dataset."""
    for folder in [path] if walk.is_file(path) else [path, *layout.parent(path)]:
        for columns in COLUMNS:
            csv = layout.find_csv(folder, columns)
            if csv is not None and "coordinateX" not in tables.peek(csv)[0] and _has_names(csv, columns[0]):
                return csv
    return None


def _has_names(csv: Path, column: str) -> bool:
    names, *rows = tables.peek(csv, 2)
    index = names.index(column)
    return bool(rows) and index < len(rows[0]) and "_x" in rows[0][index] and "_y" in rows[0][index]


datasets.add("omg-octo")(
    Dataset(
        title=TITLE,
        url="https://doi.org/10.5281/zenodo.16107743",
        license="as the Zenodo record states",
        citation="Shen et al., OMG-Octo Atypical: A Refinement of the Original OMG-Octo Database to Incorporate Atypical "
        "Mitoses, Zenodo 2025, doi:10.5281/zenodo.16107743",
        counts={"all": (378, 1375)},  # 1,757 rows, four of them twice
        sources=(
            Source(urls=("https://zenodo.org/api/records/16107743",), save_as="OMG-Octo", listing=True, unpack=True),
        ),
        detect=detect,
        read=read,
    )
)
