"""Zip archives, unpacked inside their folder only and within limits: no absolute path, no '..', no link, no bomb."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.pictures import cache_folder

MAX_FILES = 200_000
MAX_BYTES = 16 * 2**30  # of all that is unpacked
MAX_RATIO = 200  # unpacked to packed, of a member over 1 MiB: pictures stay near 1
CHUNK = 1 << 20


def unpack(archive: Path, folder: Path, *, strip: int = 0) -> Path:
    """Unpack `archive` into the new folder `folder`, which appears whole or not at all.

    Every name is checked before a byte is written; `strip` leading folders are taken off. Hidden members (.DS_Store,
    __MACOSX) are unpacked as they are; readers ignore them.

    Raises a Mistake: not a zip, damaged, encrypted, a name that leaves the folder, a link, two members of one name, past
    the limits, or `folder` exists.
    """
    if folder.exists():
        raise Mistake(f"'{folder}' is already there.", fix="move it away, or choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with files.told_disk(folder):
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
    try:
        with files.told_disk(folder), zipfile.ZipFile(archive) as opened:
            for member, place in _checked(opened, archive, strip):
                _write(opened, member, part / place, archive)
        part.chmod(0o755)
        part.replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Mistake(
            f"The archive '{archive}' cannot be unpacked: {error}.", fix="fetch it again from its source"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def unpacked(archive: Path) -> Path:
    """The folder of the archive's content under the cache, unpacked once and reused while the file does not change."""
    state = archive.stat()
    key = files.digest_of(str(archive.resolve()), str(state.st_size), str(state.st_mtime_ns))[:32]
    folder = cache_folder() / "unpacked" / key
    with files.locked(folder.parent / f".{key}.lock"):
        return folder if folder.is_dir() else unpack(archive, folder)


def _checked(opened: zipfile.ZipFile, archive: Path, strip: int) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files of the archive and the places they take, after every check that the directory allows."""
    members = opened.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MAX_FILES or total > MAX_BYTES:
        raise _refused(
            archive, f"it holds {len(members)} files of {total} bytes", f"{MAX_FILES} files, {MAX_BYTES} bytes"
        )
    places: dict[str, PurePosixPath] = {}
    found = []
    for member in members:
        name = member.filename
        place = PurePosixPath(name)
        shown = name if len(name) <= 80 else name[:77] + "…"
        mode = member.external_attr >> 16
        if member.flag_bits & 0x1:
            raise _refused(archive, f"'{shown}' is encrypted", "no password")
        if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name or "\0" in name:
            raise _refused(archive, f"'{shown}' would leave the folder", "names inside it")
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, f"'{shown}' is a link or a device", "files and folders")
        if member.is_dir():
            continue
        if member.file_size > max(CHUNK, MAX_RATIO * member.compress_size):
            raise _refused(archive, f"'{shown}' would swell {member.file_size} bytes", f"{MAX_RATIO} times its size")
        inner = PurePosixPath(*place.parts[strip:])
        if not inner.parts:
            raise _refused(archive, f"'{shown}' lies outside the folder that wraps the rest", "one folder around all")
        if str(inner).casefold() in places:
            raise _refused(archive, f"'{shown}' stands in it twice", "each name once")
        places[str(inner).casefold()] = inner
        found.append((member, inner))
    return found


def _refused(archive: Path, found: str, allowed: str) -> Mistake:
    return Mistake(f"The archive '{archive}' is not unpacked: {found}.", allowed=allowed, fix="take it from its source")


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, archive: Path) -> None:
    """Write one member, counting the bytes that really come out; a wrong checksum raises BadZipFile."""
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(member) as source, place.open("xb") as target:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > member.file_size:
                raise _refused(archive, f"'{member.filename[:80]}' is longer than it says", "true sizes")
            target.write(chunk)
