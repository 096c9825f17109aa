"""The cache: packs, embeddings, unpacked archives and notes on weights of this user. Whatever it holds can be made again."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from mitotype.core import files
from mitotype.core.errors import WriteError

HOME = "XDG_CACHE_HOME"
FULL = (errno.ENOSPC, errno.EDQUOT)  # another folder would not help


def cache_dir(kind: str = "") -> Path:
    """Return the cache folder of a kind, in $XDG_CACHE_HOME/mitotype or ~/.cache/mitotype.

    Where that cannot be used (there is no home, it is another user's) it is a temporary one, with a warning.
    """
    try:
        folder = Path(os.environ.get(HOME) or Path.home() / ".cache").absolute() / "mitotype" / kind
    except RuntimeError:
        return _replace_cache("There is no home folder for the cache") / kind
    reason = _refusal(folder)
    return _replace_cache(f"The cache '{folder}' cannot be used: {reason}") / kind if reason else folder


@contextmanager
def held(kind: str, key: str) -> Iterator[Path]:
    """Yield the cache folder `kind`/`key` while no other process holds it. The files of another user are not touched."""
    folder = cache_dir(kind) / key
    with ExitStack() as stack:
        try:
            stack.enter_context(files.locked(folder.parent / f".{key}.lock"))
        except WriteError as error:
            folder = _replace_cache(f"The cache '{folder}' cannot be used: {error.what.rstrip('.')}") / kind / key
            stack.enter_context(files.locked(folder.parent / f".{key}.lock"))
        yield folder


@contextmanager
def optional() -> Iterator[None]:
    """Leave a block in which the cache cannot be written, with a warning: the next command makes its content again."""
    try:
        yield
    except WriteError as error:
        warnings.warn(f"{error.what} It is made again by the next command.", stacklevel=3)


@lru_cache
def _refusal(folder: Path) -> str:
    """Return why no file can be made in a folder, "" where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return "" if error.errno in FULL else error.strerror or str(error)


def _replace_cache(reason: str) -> Path:
    """Return a temporary cache of this process, and of those that it starts; it is removed at the end."""
    folder = tempfile.mkdtemp(prefix="mitotype-cache-")
    os.environ[HOME] = folder
    atexit.register(_remove, folder, os.getpid())
    fix = f"set {HOME} to a folder that can be written"
    warnings.warn(f"{reason}. A temporary one is used, and nothing in it is used again: {fix}.", stacklevel=3)
    return Path(folder) / "mitotype"


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)
