"""Outputs: what cannot be written, and what would replace a file that is not an earlier output, is refused before the work.

Every command with an output calls `check_file` or works inside `claimed`.
"""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import LOCK, OccupiedError, exclusive
from mitotype.core.run_layout import names

ELSEWHERE = "choose another name with --out"
OTHER_FOLDER = "choose another folder with --out"
CONTENTS = {
    names.RUN: "a run",
    names.BUNDLE: "a bundle",
    names.ENSEMBLE: "an ensemble",
    names.PLAN: "an ensemble that is trained",
    "benchmark.json": "a benchmark",
    "ablation.json": "an ablation",
    "synthetic.json": "a synthetic cohort",
}


def check_file(path: Path, suffixes: Iterable[str], *, inputs: Iterable[str | Path] = ()) -> None:
    """Check that the file `path` can be written, has one of `suffixes`, and is no input and no file of a run or bundle.

    A file inside an input folder that is already there counts as an input.
    """
    if path.suffix.lower() not in suffixes:
        raise UserError(f"'{_shown(path)}' is not a supported file type.", allowed=", ".join(suffixes))
    check_companion(path, inputs=inputs)
    _check_writable(path)


def check_companion(path: Path, *, inputs: Iterable[str | Path] = ()) -> None:
    """Check that `path` is no input and no file of a run or bundle."""
    in_members = any(
        parent.name in (names.MEMBERS, names.BASES) and (names.is_run(parent.parent) or names.is_bundle(parent.parent))
        for parent in path.absolute().parents
    )
    if path.name.lower() in names.OWN_FILES or in_members:
        raise UserError(f"'{_shown(path)}' has the name of a file of a run or bundle.", fix=ELSEWHERE)
    for source in map(_input_path, inputs):
        if not path.exists() or not source.exists():
            continue
        if source.is_dir() and not path.is_dir() and path.resolve().is_relative_to(source.resolve()):
            what = f"'{_shown(path)}' is already there, in the folder '{_shown(source)}' that is read."
            raise UserError(what, fix="choose a name outside with --out")
        if path.samefile(source):
            raise UserError(f"'{_shown(path)}' is an input and would be replaced.", fix=ELSEWHERE)


@contextmanager
def claimed(
    folder: Path, contents: Iterable[str], *, marker: str = "", inputs: Iterable[str | Path] = ()
) -> Iterator[None]:
    """Hold the output folder while the block runs, after checks; if it was created and remains empty it is removed.

    `contents` are the names that are written into it. Those that are there must have been written by mitotype: the folder
    has its lock or its `marker`. Raises a UserError for a folder that another process works in, that contains a run or
    bundle other than `marker`, that is an input, and that cannot be written.
    """
    check_folder(folder, inputs=inputs)
    is_new = not folder.exists()
    if not (folder / LOCK).exists() and not (marker and (folder / marker).exists()):
        foreign = next((name for name in contents if name not in CONTENTS and (folder / name).exists()), None)
        if foreign:
            raise OccupiedError(
                f"'{_shown(folder / foreign)}' is already there and would be replaced.", fix=OTHER_FOLDER
            )
    _check_contents(folder, marker)
    with exclusive(folder):
        try:
            _check_contents(folder, marker)
            yield
        except BaseException:
            if is_new and [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()
            raise


def check_folder(folder: Path, *, inputs: Iterable[str | Path] = ()) -> None:
    """Check that files can be written into `folder`, which need not be there, and that it is no input."""
    _check_writable(folder / LOCK)
    for source in map(_input_path, inputs):
        if folder.exists() and source.exists() and folder.samefile(source):
            raise UserError(f"The folder '{_shown(folder)}' is an input.", fix=OTHER_FOLDER)


def _check_contents(folder: Path, marker: str) -> None:
    for name, kind in CONTENTS.items():
        if name != marker and (folder / name).is_file():
            fix = f"mitotype resume {folder}, or {OTHER_FOLDER}" if name == names.RUN else OTHER_FOLDER
            raise OccupiedError(f"'{_shown(folder)}' already contains {kind}.", fix=fix)


def _check_writable(path: Path) -> None:
    """Check that a file can be created at `path`, or replaced; nothing is left behind."""
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"'{_shown(path)}' is not a name in UTF-8.", fix=ELSEWHERE) from None
    try:
        if path.exists() and not path.is_file():
            what = f"'{_shown(path)}' is {'a folder' if path.is_dir() else 'not a file'}."
            raise UserError(what, fix=ELSEWHERE)
        parent = next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))
        if not parent.is_dir():
            raise OSError(errno.ENOTDIR, "")
        if path.exists() and not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, "")
        if parent == path.parent.absolute():
            handle, part = tempfile.mkstemp(dir=parent, prefix=files.part_prefix(path), suffix=files.PART)
            os.close(handle)
            Path(part).unlink()
        else:
            Path(tempfile.mkdtemp(dir=parent, prefix=".mitotype.", suffix=files.PART)).rmdir()
    except OSError as error:
        raise files.write_error(path, error.errno or errno.EACCES) from error


def numbered(parent: Path, name: str) -> Iterator[Path]:
    """Yield parent/name, parent/name-2, parent/name-3 …"""
    yield parent / name
    yield from (parent / f"{name}-{number}" for number in itertools.count(2))


def _input_path(source: str | Path) -> Path:
    """Return the path of an input, which may be given as NAME=PATH."""
    path = Path(source)
    return path if path.exists() or "=" not in str(source) else Path(str(source).partition("=")[2])


def _shown(path: Path) -> str:
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()
