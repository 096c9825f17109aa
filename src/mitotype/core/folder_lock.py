"""FolderLock: one process at a time works in a folder; a second one is refused, and a killed one releases it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mitotype.core.errors import UserError
from mitotype.core.files import translate_os_errors

LOCK = ".lock"


class OccupiedError(UserError):
    """A folder that another process works in, or that contains something else."""


@dataclass
class _Held:
    lock: FileLock
    depth: int = 0


_held: dict[Path, _Held] = {}  # of this process


@contextmanager
def exclusive(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold `folder` while the block runs; within a process it may be held several times.

    Raises a UserError at once if another process holds it. The lock is the operating system's, so that it ends with its
    process, however that ends; its file has the number of the process.
    """
    path = folder.resolve() / name
    held = _held.get(path) or _Held(_acquire(folder, path))
    _held[path] = held
    held.depth += 1
    try:
        yield
    finally:
        held.depth -= 1
        if not held.depth:
            del _held[path]
            held.lock.release()


def remove_lock(folder: Path) -> None:
    """Remove the file of the lock of a folder that is held; Windows removes no open file, and there it remains."""
    with suppress(OSError):
        (folder / LOCK).unlink()


def _acquire(folder: Path, path: Path) -> FileLock:
    lock = FileLock(path)
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise _in_use(folder, path) from None
    with suppress(OSError):  # for the message only: Windows forbids it, a full disk prevents it
        path.write_text(str(os.getpid()))
    return lock


def _in_use(folder: Path, path: Path) -> OccupiedError:
    pid = ""
    with suppress(OSError, ValueError):
        pid = f" (pid {int(path.read_text())})"
    return OccupiedError(
        f"Another mitotype process{pid} is working in '{folder}'.", fix="wait until it ends, or stop it"
    )
