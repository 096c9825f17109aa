"""Files that are complete or absent: atomic writes, locks, digests. A full disk is a UserError."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mitotype.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of a cell that a spreadsheet evaluates as a formula


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block succeeds and is removed otherwise.

    A killed process leaves at most a hidden `.name.*.part`, which is never read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        with translate_os_errors(path):
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.chmod(0o644)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise a UserError that names `path` for a disk that is full, read-only or forbidden."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: '{path}' was not written.",
                fix="free some space, then repeat the command: it continues from the files that are complete",
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"'{path}' may not be written.", fix="choose another folder with --out") from error
        raise


def write_bytes(path: Path, raw: bytes) -> None:
    with atomic(path) as part:
        part.write_bytes(raw)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def append_line(path: Path, line: bytes) -> None:
    """Add one line to a file of lines, in one write."""
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(line + b"\n")


def read_bytes(path: Path, *, what: str = "file", max_bytes: int) -> bytes:
    """Return the content of a file. Raises a UserError for one that is absent, too large or cannot be read."""
    if not path.is_file():
        raise UserError(f"There is no {what} at '{path}'.")
    size = path.stat().st_size
    if size > max_bytes:
        raise UserError(f"The {what} '{path}' has {size} bytes.", allowed=f"at most {max_bytes}")
    with translate_os_errors(path):
        return path.read_bytes()


TABLES = (".csv", ".parquet")


def write_table(path: Path, rows: pd.DataFrame) -> None:
    """Write a table by its suffix: .parquet or .csv (cells that a spreadsheet would evaluate are escaped)."""
    with atomic(path) as part:
        if path.suffix == ".csv":
            escape_formulas(rows).to_csv(part, index=False)
        else:
            rows.to_parquet(part, index=False)


def escape_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in which text cells that start like a formula (= + - @) begin with an apostrophe."""
    rows = rows.copy()
    for column in rows.columns:
        if not (rows[column].dtype == object or str(rows[column].dtype).startswith(("str", "string"))):
            continue
        rows[column] = [f"'{v}" if isinstance(v, str) and v[:1] in FORMULA else v for v in rows[column]]
    return rows


def _unescape(rows: pd.DataFrame) -> pd.DataFrame:
    """Remove the apostrophes that `escape_formulas` put before formulas."""
    for column in rows.columns:
        if any(isinstance(v, str) and v[:1] == "'" and v[1:2] in FORMULA for v in rows[column]):
            rows[column] = [
                v[1:] if isinstance(v, str) and v[:1] == "'" and v[1:2] in FORMULA else v for v in rows[column]
            ]
    return rows


def read_table(path: Path, *, what: str = "table") -> pd.DataFrame:
    """Return a .parquet or .csv file (Windows line ends and a byte order mark included). Raises a UserError for an unreadable one."""
    import pandas as pd

    if not path.is_file():
        raise UserError(f"There is no {what} at '{path}'.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return _unescape(pd.read_csv(path, encoding="utf-8-sig"))
    except Exception as error:
        raise UserError(
            f"The {what} '{path}' cannot be read: {str(error).splitlines()[0]}.",
            fix="restore it, or save it again as UTF-8 csv with a header line",
        ) from error


def sha256(path: Path) -> str:
    """Return the hex digest of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: bytes | str) -> str:
    """Return the hex digest of parts, each preceded by its length, so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(len(raw).to_bytes(8, "big"))
        total.update(raw)
    return total.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` while the block runs; other processes wait."""
    lock = FileLock(path)
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
