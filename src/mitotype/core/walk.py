"""Files and folders of a folder: the one walk over a tree, and the check of names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mitotype.core.errors import UserError


def is_hidden(name: str) -> bool:
    """Return whether a name is that of a file such as .DS_Store, ._1.png or __MACOSX, which public copies contain."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def check_name(path: Path) -> Path:
    """Return `path`. Raises a UserError for a name that is not UTF-8: no csv, record or terminal can show it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise UserError(f"The name '{shown}' is not UTF-8.", fix="rename it, or leave it out") from error
    return path


def expanded(source: str | Path) -> Path:
    """Return a path with the home folder in place of ~; unchanged where there is no such user, or no home."""
    try:
        return Path(source).expanduser()
    except RuntimeError:
        return Path(source)


def is_file(path: Path) -> bool:
    """Return whether `path` is a regular file; False for a name that no file system takes.

    Raises a UserError for a folder above it that may not be read: the file may well be there.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder, like `is_file`."""
    return stat.S_ISDIR(_mode(path))


def exists(path: Path) -> bool:
    """Return whether anything is at `path`, like `is_file`."""
    return _mode(path) != 0


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except PermissionError as error:
        raise _unreadable(path.parent) from error
    except (OSError, ValueError):
        return 0


def _unreadable(folder: Path) -> UserError:
    fix = "change its permissions, or give a folder that can be read"
    return UserError(f"The folder '{folder}' cannot be read: permission denied.", fix=fix)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    """Return the visible entries of a folder by name. Raises a UserError for one that cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except PermissionError as error:
        raise _unreadable(folder) from error
    except (OSError, ValueError) as error:
        message = f"The folder '{folder}' cannot be read: {getattr(error, 'strerror', None) or error}."
        raise UserError(message, fix="check the disk, or give another folder") from error


def children(folder: Path) -> list[Path]:
    """Return the visible entries directly in a folder, by name. Raises a UserError for one that cannot be read."""
    return [folder / entry.name for entry in _scan(folder)]


def iter_files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield every visible file under `folder` whose name ends in one of `suffixes`, in any case.

    The files of a folder come before those of the folders inside it, both by name. Links to folders are followed after
    all folders of the tree, each folder once, so that a loop ends. A folder is a folder whatever its name. Raises a
    UserError for a folder that cannot be read and for a name that is not UTF-8: nothing is skipped in silence.
    """
    visited: set[tuple[int, int]] = set()
    links: list[Path] = []
    stack = [folder]
    while stack or links:
        parent = stack.pop() if stack else links.pop(0)
        status = parent.stat() if exists(parent) else None
        if status and (status.st_dev, status.st_ino) in visited:
            continue
        entries = _scan(parent)
        if status:
            visited.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            path = parent / entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_symlink() and is_folder(path):
                links.append(path)
            elif entry.name.lower().endswith(suffixes):
                yield check_name(path)
        stack += reversed(folders)
