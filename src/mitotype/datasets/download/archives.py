"""Zip archives, unpacked inside their folder only and within limits: no absolute path, no '..', no link, no bomb."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mitotype.core import files
from mitotype.core.cache import held
from mitotype.core.errors import UserError

MAX_FILES = 200_000
MAX_BYTES = 16 * 2**30  # of all files together, unpacked
MAX_RATIO = 200  # unpacked to packed, of a member over 1 MiB: images are near 1
CHUNK = 1 << 20
MAX_NAME, MAX_PATH = 255, 2048  # bytes of a name and of a path inside the folder
MAX_DEPTH = 16  # parts of a path: many files in deep folders of their own are a bomb of folders


def unpack(
    archive: Path, folder: Path, *, strip: int = 0, on_unpacked: Callable[[Path], None] = lambda part: None
) -> Path:
    """Unpack `archive` into the new folder `folder`, which is complete or absent.

    Every name is checked before a byte is written; `strip` leading folders are dropped. `on_unpacked` receives the complete
    temporary folder before that is renamed; if it raises, nothing remains. Hidden members (.DS_Store,
    __MACOSX) are unpacked too; readers ignore them.

    Raises a UserError for a file that is not a zip, is damaged, encrypted or over the limits; for a name that leaves the
    folder, a link, and two members of one name; and if `folder` exists.
    """
    if folder.exists():
        raise UserError(f"'{folder}' is already there.", fix="move it away, or choose another folder")
    with files.translate_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(folder.parent)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=files.part_prefix(folder), suffix=files.PART))
        handle = os.open(part, os.O_RDONLY)
    try:
        files.try_lock(handle)
        with files.translate_os_errors(folder), zipfile.ZipFile(archive) as opened:
            for member, path in _checked_members(opened, archive, strip):
                _write(opened, member, part / path, archive)
        on_unpacked(part)
        with files.translate_os_errors(folder):
            part.chmod(0o755)
            part.replace(folder)
    except UserError:
        raise
    except Exception as error:  # whatever the decoder of a method of compression raises, the archive is damaged
        reason = str(error) or type(error).__name__
        fix = "fetch it again from its source"
        raise UserError(f"The archive '{archive}' cannot be unpacked: {reason}.", fix=fix) from error
    finally:
        os.close(handle)
        shutil.rmtree(part, ignore_errors=True)
    return folder


def unpack_cached(archive: Path) -> Path:
    """Return the folder of the archive's content in the cache; it is unpacked once and reused while the file is unchanged."""
    key = files.digest_of(str(archive.resolve()), files.state_of(archive))[:32]
    with held("unpacked", key) as folder:
        return folder if folder.is_dir() else unpack(archive, folder)


def _checked_members(opened: zipfile.ZipFile, archive: Path, strip: int) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Return the files of the archive and their paths inside the folder, after every check that needs no content."""
    members = opened.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES or total > MAX_BYTES:
        limits = f"{MAX_FILES} files, {MAX_BYTES} bytes"
        raise _rejected(archive, f"it holds {len(members)} files of {total} bytes", limits)
    paths: dict[str, tuple[zipfile.ZipInfo, PurePosixPath]] = {}
    for member in members:
        name = member.filename
        path = PurePosixPath(name)
        shown = name if len(name) <= 80 else name[:77] + "…"
        mode = member.external_attr >> 16
        if member.flag_bits & 0x1:
            raise _rejected(archive, f"'{shown}' is encrypted", "no password")
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
            raise _rejected(archive, f"'{shown}' would leave the folder", "names inside it")
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _rejected(archive, f"'{shown}' is a link or a device", "files and folders")
        if member.is_dir():
            continue
        if member.file_size > max(CHUNK, MAX_RATIO * member.compress_size):
            raise _rejected(archive, f"'{shown}' expands to {member.file_size} bytes", f"{MAX_RATIO} times its size")
        inner = PurePosixPath(*path.parts[strip:])
        if len(os.fsencode(str(inner))) > MAX_PATH or any(len(os.fsencode(part)) > MAX_NAME for part in inner.parts):
            raise _rejected(
                archive, f"'{shown}' is longer than a file system takes", f"names of up to {MAX_NAME} bytes"
            )
        if len(inner.parts) > MAX_DEPTH:
            raise _rejected(archive, f"'{shown}' lies in {len(inner.parts) - 1} folders", f"at most {MAX_DEPTH - 1}")
        if not inner.parts:
            raise _rejected(archive, f"'{shown}' is outside the top folder", "one folder around all files")
        if str(inner).casefold() in paths:
            raise _rejected(archive, f"'{shown}' occurs twice", "each name once")
        paths[str(inner).casefold()] = member, inner
    for _, inner in paths.values():
        if any(str(parent).casefold() in paths for parent in inner.parents):
            raise _rejected(archive, f"'{str(inner)[:80]}' lies in a folder that is a file", "files in folders")
    return list(paths.values())


def _rejected(archive: Path, reason: str, allowed: str) -> UserError:
    return UserError(
        f"The archive '{archive}' is not unpacked: {reason}.", allowed=allowed, fix="get it from its source"
    )


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, archive: Path) -> None:
    """Write one member and count the bytes that are read; a wrong checksum raises BadZipFile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(member) as source, path.open("xb") as target:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > member.file_size:
                raise _rejected(archive, f"'{member.filename[:80]}' is longer than it states", "true sizes")
            target.write(chunk)
