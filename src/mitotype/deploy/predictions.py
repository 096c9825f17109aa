"""Predictions: the record of one image, and the files that `mitotype classify` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pandas as pd
from msgspec import Struct

from mitotype.core import files, records, tables, walk
from mitotype.core.errors import UserError

COLUMNS = ("path", "page", "probability", "decision", "class", "spread", "flags")
SUFFIXES = (*tables.SUFFIXES, ".json")


class Prediction(Struct, frozen=True, omit_defaults=True, rename={"label_name": "class", "member_sd": "spread"}):
    """The prediction for one image; `mitotype classify --json` prints a list of them.

    probability   of atypical, calibrated        label_name    atypical or normal, by the threshold
    decision      the class, or "uncertain"      member_sd     SD of the members' probabilities, nan for one member
    flags         "uncertain", "out of distribution"
    explanation   phrases of the shape descriptors, if requested
    error         why the image cannot be classified; then decision and class are "", the numbers nan
    """

    path: str
    page: int
    probability: float
    decision: str
    label_name: str
    member_sd: float
    flags: tuple[str, ...]
    explanation: tuple[str, ...] = ()
    error: str = ""


def failed(path: Path, page: int, error: UserError) -> Prediction:
    """Return the row of an image that cannot be classified."""
    nan = float("nan")
    return Prediction(str(path), page, nan, "", "", nan, (), error=error.what)


def to_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return predictions as rows: COLUMNS, then `explanation` and `error` if any has them."""
    rows = pd.DataFrame(records.to_builtins(predictions))
    for column in rows.columns.intersection(["flags", "explanation"]):
        rows[column] = rows[column].map(lambda items: "; ".join(items) if isinstance(items, list | tuple) else "")
    if "error" in rows:
        rows["error"] = rows["error"].fillna("")
    return rows


def write(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write predictions as .json, .csv or .parquet, by the suffix."""
    if path.suffix.lower() == ".json":
        records.write(path, predictions)
    else:
        files.write_table(path, to_table(predictions))


def check_replaceable(path: Path) -> None:
    """Raise a UserError for an output that is already there, unless it is empty or holds earlier predictions."""
    if walk.is_file(path) and path.stat().st_size and not _holds_predictions(path):
        message = f"'{path}' is already there and holds no predictions of mitotype; it would be replaced."
        raise UserError(message, fix="choose another name with --out")


class _Row(Struct):
    path: str
    page: int
    decision: str


def _holds_predictions(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return tuple(tables.column_names(path)[: len(COLUMNS)]) == COLUMNS
    try:
        msgspec.json.decode(files.read_bytes(path, max_bytes=2**30), type=list[_Row])
    except records.INVALID:
        return False
    return True
