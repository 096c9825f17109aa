"""Tables: the one reader of csv and parquet files. Cells are text unless a column is declared to hold numbers.

Ids such as `01`, `1e2` and `NA` stay what they are. Commas, semicolons and tabs, a byte order mark and UTF-16 are
recognised; every other fault is a UserError with file, line and remedy.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import csv_text, extras, walk
from mitotype.core.errors import ErrorCollector, UserError, first_line
from mitotype.core.files import FORMULA, read_bytes

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
MAX_BYTES = 512 * 2**20
PEEK_BYTES = 100_000
MISSING = ("", "NA", "NaN", "nan")  # cells of a column of numbers that hold none
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)


def is_table(path: Path) -> bool:
    """Return whether the name of a file is that of a table, in any case."""
    return path.suffix.lower() in SUFFIXES


def read(
    path: Path,
    required: Sequence[str] = (),
    *,
    numbers: Sequence[str] = (),
    what: str = "table",
    errors: ErrorCollector | None = None,
) -> pd.DataFrame:
    """Return a .csv or .parquet file whose columns include `required`: text without blanks around it, "" where empty.

    The columns of `numbers` that are present become float64, nan where empty. The index is the line of each row in the
    file, named "line" ("row", from 1, for parquet). Raises a UserError for every fault; those of single cells are added to
    `errors` if it is given, and the cells become nan.
    """
    source = f"The {what} '{path}'"
    if path.suffix.lower() == ".parquet":
        return _finish(_parquet_as_text(path, source, numbers, what), source, required, numbers, errors)
    return parse_csv(read_bytes(path, what=what, max_bytes=MAX_BYTES), source, required, numbers=numbers, errors=errors)


def parse_csv(
    raw: bytes,
    source: str,
    required: Sequence[str] = (),
    *,
    numbers: Sequence[str] = (),
    errors: ErrorCollector | None = None,
) -> pd.DataFrame:
    """Return the bytes of a csv as `read` does; `source` begins the messages."""
    import pandas as pd

    text = csv_text.decode(raw, source)
    delimiter = csv_text.find_delimiter(text, required)
    records = csv_text.iter_records(text, delimiter, source)
    _, header = next(records, (1, []))
    if not header:
        raise UserError(f"{source} is empty.", fix="give it a header line and rows")
    columns, selected = _columns([name.strip() for name in header], source)
    lines, rows, ragged = [], [], []
    for line, cells in records:
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            ragged.append((line, len(cells)))
        elif unnamed := next((i for i in range(1, len(header)) if i not in selected and cells[i].strip()), None):
            message = f"{source}, line {line}: column {unnamed + 1} has no name in the header."
            raise UserError(message, fix="name the column, or remove it")
        else:
            lines.append(line)
            rows.append([_unescape(cells[i].strip()) for i in selected])
    if ragged:
        line, count = ragged[0]
        more = f" ({len(ragged)} such lines)" if len(ragged) > 1 else ""
        raise UserError(
            f"{source}, line {line}: {count} cells, but the header has {len(header)}{more}.",
            fix="put cells that contain the delimiter in quotes, and write decimals with a point",
        )
    table = pd.DataFrame(
        {name: pd.Series(cells, dtype="str") for name, cells in zip(columns, zip(*rows, strict=True), strict=False)},
        columns=columns,
    ).set_axis(pd.Index(lines, name="line"), axis=0)
    return _finish(table, source, required, numbers, errors, decimal_comma=delimiter != ",")


def _columns(header: list[str], source: str) -> tuple[list[str], list[int]]:
    """Return the names of the columns and their positions. Columns without a name are left out: the index that pandas writes
    first, and empty ones after the last delimiter.
    """
    selected = [i for i, name in enumerate(header) if name]
    repeated = [name for i, name in enumerate(header) if name and name in header[:i]]
    if repeated:
        raise UserError(f"{source} has two columns called '{repeated[0]}'.", fix="rename or remove one of them")
    return [header[i] for i in selected], selected


def _finish(
    table: pd.DataFrame,
    source: str,
    required: Sequence[str],
    numbers: Sequence[str],
    errors: ErrorCollector | None,
    *,
    decimal_comma: bool = False,
) -> pd.DataFrame:
    """Return the table with its columns of numbers. Raises a UserError for absent columns and a table without rows."""
    check_columns(table, source, required)
    if not len(table):
        raise UserError(f"{source} has a header and no rows.", fix="give it at least one row")
    own = ErrorCollector()
    for column in numbers:
        if column in table:
            with (errors or own).capture():
                table[column] = _numbers(table[column], source, column, decimal_comma)
    own.raise_if_any()
    return table


def check_columns(table: pd.DataFrame, source: str, required: Sequence[str]) -> None:
    """Raise a UserError that names the absent columns, those that are nearest and those that are present."""
    missing = [column for column in required if column not in table]
    if not missing:
        return
    by_lower = {str(column).casefold(): str(column) for column in table.columns}
    near = [
        by_lower[match]
        for column in missing
        for match in difflib.get_close_matches(column.casefold(), by_lower, n=1, cutoff=0.75)
    ]
    present = ", ".join(map(str, table.columns))
    raise UserError(
        f"{source} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {present[:200]}.",
        nearest=", ".join(near) or None,
        fix=f"rename '{near[0]}'" if near else "add the column to the header, the first line",
    )


def _numbers(cells: pd.Series, source: str, column: str, decimal_comma: bool) -> list[float]:
    """Return a column as numbers. Raises a UserError that names the first cell that is none."""
    line = cells.index.name
    if _is_numeric(cells):
        values, invalid = [float(value) for value in cells], []
    else:
        texts = [cell.replace(",", ".") if decimal_comma and DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
        invalid = [i for i, text in enumerate(texts) if text not in MISSING and not NUMBER.fullmatch(text)]
        values = [float(text) if NUMBER.fullmatch(text) else math.nan for text in texts]
    if invalid:
        first = str(cells.iloc[invalid[0]])
        more = f" ({len(invalid)} such cells)" if len(invalid) > 1 else ""
        message = f"{source}, {line} {cells.index[invalid[0]]}: {column} '{first[:40]}', not a number{more}."
        raise UserError(message, fix=_number_fix(first))
    infinite = [i for i, value in enumerate(values) if math.isinf(value)]
    if infinite:
        raise UserError(
            f"{source}, {line} {cells.index[infinite[0]]}: {column} is not finite.", fix="give a finite number"
        )
    return values


def _number_fix(cell: str) -> str:
    if DECIMAL_COMMA.fullmatch(cell):
        return f"write decimals with a point ({cell.replace(',', '.')}), or separate the columns by semicolons"
    if cell.endswith("%"):
        return "write shares of 1 instead of percentages, such as 0.5 instead of 50%"
    return "write the number alone, without a unit, or leave the cell empty"


def _unescape(cell: str) -> str:
    """Remove the apostrophe that `files.escape_formulas` puts before a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA and len(cell) > 1 else cell


def _parquet_as_text(path: Path, source: str, numbers: Sequence[str], what: str) -> pd.DataFrame:
    """Return a parquet file with text in all columns but those of `numbers`, as in a csv."""
    table = _read_parquet(path, what)
    names, _ = _columns([str(column).strip() for column in table.columns], source)
    table = table.set_axis(names, axis=1).set_axis(range(1, len(table) + 1), axis=0).rename_axis("row")
    for column in names:
        if column not in numbers or not _is_numeric(table[column]):
            table[column] = [_as_text(value, f"{source}, row {row}") for row, value in table[column].items()]
    return table


def _as_text(value: Any, source: str) -> str:
    """Return a cell as the text that a csv would hold: 7 for 7.0, "" for a missing value."""
    import pandas as pd

    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes) or not pd.api.types.is_scalar(value):
        raise UserError(f"{source}: a cell holds {type(value).__name__}, not text or a number.", fix="save it as text")
    if pd.isna(value):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_numeric(cells: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(cells.dtype))


def _read_parquet(path: Path, what: str, categories: Sequence[str] = ()) -> pd.DataFrame:
    import pandas as pd

    if not walk.is_file(path):
        raise UserError(f"There is no {what} at '{path}'.")
    extras.require("pyarrow")
    try:
        with path.open("rb") as file:  # one file from footer to rows, also where another process replaces it meanwhile
            table = pd.read_parquet(file, read_dictionary=list(categories) or None)
        for column in table.columns[[str(dtype) == "category" for dtype in table.dtypes]]:
            table[column].cat.categories.tolist()
        for column in table.columns[[str(dtype) == "str" for dtype in table.dtypes]]:
            table[column].tolist()  # text is decoded when it is used: what is not UTF-8 shows here
        return table
    except Exception as error:  # damaged files raise pyarrow's own errors, and others
        reason = first_line(error)
        fix = "restore it from a copy, or make it again"
        raise UserError(f"The {what} '{path}' cannot be read: {reason}.", fix=fix) from error


def read_stored(
    path: Path,
    text: Sequence[str] = (),
    numbers: Sequence[str] = (),
    *,
    what: str = "table",
    categories: Sequence[str] = (),
) -> pd.DataFrame:
    """Return a parquet file that this package wrote, with the types it was written with; `categories` as categorical columns.

    Raises a UserError for an absent or damaged file, and for a column of `text` or `numbers` that is absent or of another type.
    """
    table = _read_parquet(path, what, categories)
    for column in (*text, *numbers):
        if column not in table or (len(table) and _is_numeric(table[column]) != (column in numbers)):
            problem = "has no column" if column not in table else "has values of the wrong type in the column"
            fix = "restore it from a copy, or make it again"
            raise UserError(f"The {what} '{path}' {problem} '{column}'.", fix=fix)
    return table


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a table without reading its rows; empty for a file that is no table."""
    if path.suffix.lower() != ".parquet":
        return (peek(path) or [[]])[0]
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except Exception:  # damaged files raise pyarrow's own errors, and others
        return []


def peek(path: Path, records: int = 1) -> list[list[str]]:
    """Return the first records of a csv without reading the others; empty for a file that is no csv."""
    try:
        with path.open("rb") as file:
            raw = file.read(PEEK_BYTES)
        text = csv_text.decode(raw, "", errors="ignore")
        rows = csv_text.iter_records(text, csv_text.find_delimiter(text), "")
        return [[cell.strip() for cell in cells] for _, (_, cells) in zip(range(records), rows, strict=False)]
    except (OSError, ValueError, UserError):
        return []
