"""Files that are complete or absent: atomic writes, locks, digests. A full disk is a UserError."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mitotype.core import extras, walk
from mitotype.core.errors import UserError, WriteError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of a cell that a spreadsheet evaluates as a formula


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block succeeds and is removed otherwise.

    A killed process leaves at most a hidden `.name.*.part`, which is never read, and which the next process that writes into
    the folder removes.
    """
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=part_prefix(path), suffix=PART)
        part, is_locked = Path(name), try_lock(handle)
        if not is_locked:
            os.close(handle)  # Windows does not rename open files
        try:
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.chmod(0o644)
            part.replace(path)
        finally:
            if is_locked:
                os.close(handle)
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise a WriteError that names `path` for whatever the operating system refuses while it is written."""
    try:
        yield
    except Exception as error:
        code = _os_error_code(error)
        if code not in REFUSALS:
            raise
        raise write_error(path, code) from error


REFUSALS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.ENAMETOOLONG,
    errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.ENOTEMPTY, errno.EBUSY,
)  # fmt: skip


def write_error(path: Path, code: int) -> WriteError:
    """Return the error for a file or folder that the operating system refused to write with the error `code`."""
    name, folder = f"'{path}'", f"'{path.parent}'"
    if code in (errno.ENOSPC, errno.EDQUOT):
        what = "The disk is full" if code == errno.ENOSPC else "The disk quota is used up"
        return WriteError(f"{what}: {name} was not written.", remedy="free some space")
    if code == errno.EFBIG:
        return WriteError(f"{name} is larger than a file may be here.", remedy="raise the limit (ulimit -f unlimited)")
    if code == errno.EIO:
        return WriteError(f"The disk failed: {name} was not written.", remedy="check the disk")
    if code in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT):
        return WriteError(f"{name} may not be written.", remedy=f"make {folder} writable, or choose another folder")
    reason = os.strerror(code)
    return WriteError(f"{name} was not written: {reason}.", remedy="choose another name or folder")


def _os_error_code(error: Exception) -> int:
    """Return the code of an OSError, and of an error of safetensors or numpy that stands for one, else 0."""
    if isinstance(error, OSError):
        if error.errno is None and " requested and " in str(error):  # numpy: "240 requested and 16 written"
            return errno.ENOSPC
        return error.errno or 0
    match = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(match[1]) if match else 0


PART = ".part"
_swept: set[Path] = set()  # folders


def part_prefix(path: Path) -> str:
    """Return how the name of a temporary file or folder begins that becomes `path`; short enough for a file system."""
    return f".{os.fsencode(path.name)[:200].decode('utf-8', 'ignore')}."


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders of killed processes, once per process; live ones are locked."""
    if folder in _swept:
        return
    _swept.add(folder)
    for part in folder.glob(f".*.????????{PART}"):
        with suppress(OSError):
            handle = os.open(part, os.O_RDONLY)
            try:
                if try_lock(handle):
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
            finally:
                os.close(handle)


def try_lock(handle: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder until it is closed. Return False if another process holds it, or without such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # in use, or a file system without locks
        return False
    return True


def copy(source: Path, path: Path) -> None:
    """Copy a file, see `atomic`."""
    with atomic(path) as part:
        shutil.copyfile(source, part)


def write_bytes(path: Path, raw: bytes) -> None:
    with atomic(path) as part:
        part.write_bytes(raw)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as .npy. Unlike `np.save` it raises the reason where the disk is full."""
    from numpy.lib import format as npy

    array = array if array.flags.c_contiguous else array.copy(order="C")
    with atomic(path) as part, part.open("wb") as out:
        npy.write_array_header_1_0(out, npy.header_data_from_array_1_0(array))
        out.write(array.data)


def append_line(path: Path, line: bytes) -> None:
    """Add one line to a file of JSON lines: it is whole or absent. Half a line of a killed process is removed first."""
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            try_lock(handle, wait=True)
            end = complete_bytes(handle)
            os.ftruncate(handle, end)
            try:
                raw = line + b"\n"
                while raw:  # where one write takes a part, the next one raises the reason
                    raw = raw[os.write(handle, raw) :]
                os.fsync(handle)
            except BaseException:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)


def complete_bytes(handle: int) -> int:
    """Return how many bytes of an open file are whole lines. A last line without an end that is JSON is given one."""
    size = end = os.lseek(handle, 0, os.SEEK_END)
    cut = 0
    while end and not cut:
        start = max(0, end - 4096)
        end, cut = start, os.pread(handle, end - start, start).rfind(b"\n") + 1
    complete = end + cut
    with suppress(ValueError):
        json.loads(os.pread(handle, size - complete, complete))
        complete = size + os.write(handle, b"\n")
    return complete


def read_bytes(path: Path, *, what: str = "file", max_bytes: int) -> bytes:
    """Return the content of a file. Raises a UserError for one that is absent, too large or cannot be read."""
    if not walk.is_file(path):
        raise UserError(f"There is no {what} at '{path}'.")
    size = path.stat().st_size
    if size > max_bytes:
        raise UserError(f"The {what} '{path}' has {size} bytes.", allowed=f"at most {max_bytes}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"The {what} '{path}' cannot be read: {error.strerror}.", fix="make it readable") from error


TABLES = (".csv", ".parquet")


def write_table(path: Path, rows: pd.DataFrame) -> None:
    """Write a table by its suffix: .parquet or .csv (cells that a spreadsheet would evaluate are escaped)."""
    with atomic(path) as part:
        if path.suffix.lower() == ".csv":
            escape_formulas(rows).to_csv(part, index=False)
        else:
            extras.require("pyarrow")
            rows.to_parquet(part, index=False)


def escape_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in which text cells that start like a formula (= + - @) begin with an apostrophe."""
    rows = rows.copy()
    for column in rows.columns:
        if not (rows[column].dtype == object or str(rows[column].dtype).startswith(("str", "string"))):
            continue
        rows[column] = [escape_formula(cell) if isinstance(cell, str) else cell for cell in rows[column]]
    return rows


def escape_formula(cell: str) -> str:
    """Return the text of a cell, with an apostrophe before it if a spreadsheet would evaluate it (= + - @)."""
    return f"'{cell}" if cell[:1] in FORMULA else cell


def sha256(path: Path) -> str:
    """Return the hex digest of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> str:
    """Return what changes when a file changes: size, times of content and of status (which no program sets back), inode."""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


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
