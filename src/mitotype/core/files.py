"""Files that are whole or absent: atomic writes, locks, digests. A full disk is a Mistake."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core.mistakes import Mistake

if TYPE_CHECKING:
    import pandas as pd


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # signs with which a spreadsheet begins to reckon


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it takes the name, otherwise it is gone.

    A killed process leaves at most a hidden `.name.*.part` behind, which nothing here ever reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        with told_disk(path):
            yield part
            with part.open("rb+") as written:
                os.fsync(written.fileno())
            part.chmod(0o644)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def told_disk(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a Mistake that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Mistake(
                f"The disk is full: '{path}' was not written.",
                fix="free some space, then repeat the command: it goes on from what is whole",
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise Mistake(f"'{path}' may not be written.", fix="choose another folder with --out") from error
        raise


def write_text(path: Path, text: str) -> None:
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON that every reader takes: nan and infinity become null."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """`value` as JSON knows it: records as objects, numpy scalars as numbers, paths as text, nan and infinity as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes) and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_json(path: Path, *, what: str = "file", max_bytes: int = 64 * 2**20) -> Any:
    """Read JSON written by us or by somebody else; a broken or huge one is a Mistake."""
    if not path.is_file():
        raise Mistake(f"There is no {what} at '{path}'.")
    if path.stat().st_size > max_bytes:
        raise Mistake(f"The {what} '{path}' has {path.stat().st_size} bytes; at most {max_bytes} are read.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Mistake(f"The {what} '{path}' is not valid JSON: {error}.", fix="restore it from a copy") from error


TABLES = (".csv", ".parquet")


def write_table(path: Path, rows: pd.DataFrame) -> None:
    """Write a table by its ending: .parquet or .csv (cells that a spreadsheet would run are quoted)."""
    with atomic(path) as part:
        if path.suffix == ".csv":
            escaped(rows).to_csv(part, index=False)
        else:
            rows.to_parquet(part, index=False)


def escaped(rows: pd.DataFrame) -> pd.DataFrame:
    """A copy in which text cells that start like a formula (= + - @) begin with an apostrophe."""
    rows = rows.copy()
    for column in rows.columns:
        if not (rows[column].dtype == object or str(rows[column].dtype).startswith(("str", "string"))):
            continue
        rows[column] = [f"'{v}" if isinstance(v, str) and v[:1] in FORMULA else v for v in rows[column]]
    return rows


def _unescaped(rows: pd.DataFrame) -> pd.DataFrame:
    """Take off the apostrophes that `escaped` put before formulas."""
    for column in rows.columns:
        if any(isinstance(v, str) and v[:1] == "'" and v[1:2] in FORMULA for v in rows[column]):
            rows[column] = [
                v[1:] if isinstance(v, str) and v[:1] == "'" and v[1:2] in FORMULA else v for v in rows[column]
            ]
    return rows


def read_table(path: Path, *, what: str = "table") -> pd.DataFrame:
    """Read .parquet or .csv (Windows line ends and a byte order mark included); what cannot be read is a Mistake."""
    import pandas as pd

    if not path.is_file():
        raise Mistake(f"There is no {what} at '{path}'.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return _unescaped(pd.read_csv(path, encoding="utf-8-sig"))
    except Exception as error:
        raise Mistake(
            f"The {what} '{path}' cannot be read: {str(error).splitlines()[0]}.",
            fix="restore it, or save it again as UTF-8 csv with a header line",
        ) from error


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: bytes | str) -> str:
    """Hex digest of parts, each with its length before it so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(len(raw).to_bytes(8, "big"))
        total.update(raw)
    return total.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if absent) while the block runs; other processes wait. POSIX only."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with told_disk(path), path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
