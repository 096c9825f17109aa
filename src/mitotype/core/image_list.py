"""Lists of images: csv or parquet files, or data frames, with the column `path`, read alike for classification and for cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import tables, walk
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.images import check_mpp

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("mpp_um", "page")


def read_list(path: Path, errors: ErrorCollector, *, numbers: Sequence[str] = NUMBERS) -> pd.DataFrame:
    """Return the rows of a list, `path` joined to the folder of the list, `numbers` as float64, all other columns as text.

    The index is the line of each row. Faults of cells are added to `errors`: an empty path, a file that is absent, numbers
    below 0, a page that is no whole number, an implausible µm/px.
    """
    rows = tables.read(path, ("path",), numbers=numbers, what="list of images", errors=errors)
    rows = rows.assign(path=[str(path.parent / name) if name else "" for name in rows["path"]])
    _check(rows, f"'{path}'", errors, numbers)
    return rows


def from_frame(frame: pd.DataFrame, errors: ErrorCollector, *, numbers: Sequence[str] = NUMBERS) -> pd.DataFrame:
    """Return the rows of a data frame like those of a list; paths are relative to the working folder."""
    import pandas as pd

    source = "the data frame"
    tables.check_columns(frame, "The data frame", ("path",))
    rows = frame.copy()
    rows.index = pd.RangeIndex(len(rows), name="row")
    for column in rows.columns:
        cells = rows[column]
        if column not in numbers:
            rows[column] = ["" if cell is None or cell != cell else str(cell) for cell in cells]
            continue
        rows[column] = pd.to_numeric(cells, errors="coerce").astype(float)
        wrong = rows[column].isna() & cells.notna() & (cells.astype(str) != "")
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            errors.add(
                UserError(f"{source} row {row}: {column} '{cells.iloc[row]}', not a number.", fix="fix that cell")
            )
    _check(rows, source, errors, numbers)
    return rows


def _check(rows: pd.DataFrame, source: str, errors: ErrorCollector, numbers: Sequence[str]) -> None:
    unit = rows.index.name or "line"
    for line, name in rows["path"].items():
        with errors.capture():
            if not name:
                raise UserError(f"{source} {unit} {line}: the path is empty.", fix="fill the cell, or remove the row")
            if not walk.is_file(Path(name)):
                raise UserError(f"{source} {unit} {line}: there is no file '{name[:300]}'.", fix="fix the path")
    for column in (column for column in numbers if column in rows and rows[column].dtype == float):
        for line, value in rows[column].dropna().items():
            with errors.capture():
                _check_number(column, value, f"{source} {unit} {line}")


def _check_number(column: str, value: float, source: str) -> None:
    if value < 0 or (column == "page" and not value.is_integer()):
        allowed = "a whole number from 0" if column == "page" else "0 or more"
        raise UserError(f"{source} has {column} {value:g}.", allowed=allowed, fix="fix that cell")
    if column == "mpp_um":
        check_mpp(value, source)
