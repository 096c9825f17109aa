"""Predictions: the record of one image, and the files that `mitotype classify` writes."""

from __future__ import annotations

import csv
import io
import logging
import math
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from mitotype.core import extras, files, outputs, records, tables, walk
from mitotype.core.errors import UserError
from mitotype.core.interrupts import Interrupted

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("path", "page", "probability", "decision", "class", "spread", "flags")
LOGGER = logging.getLogger("mitotype")
SUFFIXES = (*tables.SUFFIXES, ".json")


class Prediction(Struct, frozen=True, omit_defaults=True, rename={"label_name": "class", "member_sd": "spread"}):
    """The prediction for one figure; `mitotype classify --json` prints a list of them.

    Parameters
    ----------
    path : str
        The file of the image; "image 0", "image 1" … for arrays.
    page : int
        Page of a file with several.
    probability : float
        Calibrated probability of atypical.
    decision : str
        The class, or "uncertain".
    label_name : str
        The class by the threshold: "atypical" or "normal"; ``class`` in files.
    member_sd : float
        Standard deviation of the members' probabilities, of one member over its views; nan for one member with one view.
        ``spread`` in files.
    flags : tuple of str
        "uncertain", "out of distribution".
    explanation : tuple of str, optional
        Phrases of the shape descriptors, if requested.
    error : str, default ""
        Why the image cannot be classified; then decision and class are "", the numbers nan.

    See Also
    --------
    classify : Classify images.

    Examples
    --------
    >>> import mitotype
    >>> prediction = mitotype.classify(mitotype.example_images())[4]
    >>> prediction.decision, prediction.label_name, round(prediction.probability, 2)
    ('uncertain', 'atypical', 0.26)
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


def failed(path: str, page: int, error: UserError) -> Prediction:
    """Return the row of an image that cannot be classified."""
    nan = float("nan")
    return Prediction(path, page, nan, "", "", nan, (), error=error.what)


def to_rows(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Return predictions as rows: COLUMNS, then `explanation` and `error` if any has them; lists are joined by "; "."""
    rows = [
        {key: "; ".join(value) if isinstance(value, list | tuple) else value for key, value in row.items()}
        for row in records.to_builtins(predictions)
    ]
    further = [column for column in ("explanation", "error") if any(column in row for row in rows)]
    return [{**dict.fromkeys((*COLUMNS, *further), ""), **row} for row in rows]


def to_table(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return predictions as a table, see `to_rows`."""
    import pandas as pd  # not at the top: classify imports this file and prints its csv without

    return pd.DataFrame(to_rows(predictions))


def csv_columns(first: Sequence[Prediction], *, more_follow: bool) -> list[str]:
    """Return the columns of a csv that begins with `first`: those of its rows, and `error` where others may need it."""
    columns = list(next(iter(to_rows(first)), dict.fromkeys(COLUMNS)))
    return [*columns, "error"] if more_follow and "error" not in columns else columns


def to_csv(predictions: Sequence[Prediction], columns: Sequence[str], *, header: bool = True) -> str:
    """Return predictions as lines of a csv, in which no cell begins like a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([_cell(row.get(column, "")) for column in columns] for row in to_rows(predictions))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return ""
    return files.escape_formula(value) if isinstance(value, str) else value


def check_output(path: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Check that predictions can be written to `path`, and to its `partial_path`, and replace nothing but predictions."""
    outputs.check_file(path, SUFFIXES, inputs=inputs)
    if path.suffix.lower() == ".parquet":
        extras.require("pyarrow")  # before the images are classified
    for output in (path, partial_path(path)):
        check_replaceable(output)


def partial_path(path: Path) -> Path:
    """Return the file of predictions that are incomplete: NAME.partial.csv for NAME.csv."""
    return path.with_suffix(f".partial{path.suffix}")


@contextmanager
def completed(path: Path | None, predictions: Sequence[Prediction]) -> Iterator[None]:
    """Write what the block has appended to `predictions` to `path`, when the block ends.

    Whatever stops it, the predictions so far are in `partial_path`, which a later success removes. Without a path nothing
    is written.
    """
    try:
        yield
        if path is not None:
            write(path, predictions)
            partial_path(path).unlink(missing_ok=True)
    except BaseException as error:
        if path is None or all(prediction.error for prediction in predictions):
            raise
        stored = f"The first {len(predictions)} predictions are in '{partial_path(path)}', which is incomplete."
        try:
            write(partial_path(path), predictions)
        except UserError:
            stored = "The predictions so far could not be written."
        if isinstance(error, KeyboardInterrupt):
            number = error.number if isinstance(error, Interrupted) else signal.SIGINT
            raise Interrupted(number, stored, "repeat the command") from None
        LOGGER.warning(stored)
        raise


def write(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write predictions as .json, .csv or .parquet, by the suffix."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        records.write(path, predictions)
    elif suffix == ".csv":
        files.write_text(path, to_csv(predictions, csv_columns(predictions, more_follow=False)))
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
