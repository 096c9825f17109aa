"""The text of a csv: its encoding, its delimiter, and its records with their lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from mitotype.core.errors import UserError

DELIMITERS = (",", ";", "\t")
# First bytes of files that are no text, whatever their name, and of the encodings that announce themselves.
BINARY = {
    b"PK\x03\x04": "a zip or Excel file", b"PAR1": "a parquet file", b"\x1f\x8b": "a gzip file", b"\xd0\xcf\x11": "an Excel file",
}  # fmt: skip
ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # fmt: skip
AS_UTF8 = "save it again as csv in UTF-8, with one header line"


def decode(raw: bytes, source: str, errors: str = "strict") -> str:
    """Return the text. Raises a UserError that names what else the bytes are, or the line that is not UTF-8."""
    kind = next((kind for start, kind in BINARY.items() if raw.startswith(start)), None)
    if kind:
        raise UserError(f"{source} is {kind}, not a csv.", fix=AS_UTF8)
    encoding = next((name for start, name in ENCODINGS.items() if raw.startswith(start)), "")
    if (
        not encoding and b"\0" in raw[:200] and len(raw) % 2 == 0
    ):  # UTF-16 without a mark: every other byte of ASCII is 0
        encoding = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
    try:
        text = raw.decode(encoding or "utf-8", errors)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start : error.start + 1]
        shown = f", '{byte.decode('cp1252', 'replace')}' in Windows-1252" if not encoding else ""
        raise UserError(
            f"{source} is not {encoding or 'UTF-8'}: line {line} has the byte 0x{byte.hex()}{shown}.",
            fix=f"{AS_UTF8} (in Excel: 'CSV UTF-8')",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{source}, line {line}: a NUL character; this is not a text file.", fix=AS_UTF8)
    return text


def find_delimiter(text: str, required: Sequence[str] = ()) -> str:
    """Return the delimiter of the header: the one that separates the required columns, else the most columns."""
    declared = re.match(r'"?sep=([,;\t])"?\r?\n', text)
    if declared:
        return declared[1]
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    names = {d: [cell.strip().strip('"') for cell in header.split(d)] for d in DELIMITERS}
    return max(DELIMITERS, key=lambda d: (set(required) <= set(names[d]), len(names[d])))


def iter_records(text: str, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which a record begins, and its cells; lines without content are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not (line == 1 and cells[0].startswith("sep=")):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        message = "a quote that is not closed" if "unexpected end" in str(error) else str(error)
        raise UserError(
            f"{source}, line {line}: {message}.", fix="close every quote, and write a quote inside a cell twice"
        ) from error
