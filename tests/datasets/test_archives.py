"""Archives: what is well is unpacked whole; every way out of the folder and every bomb is refused before a byte lands."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mitotype.core.mistakes import Mistake
from mitotype.datasets import archives


def zipped(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_good_archive_is_unpacked_whole(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"top/": b"", "top/x/1.png": b"one", "top/list.csv": b"two"})
    folder = archives.unpack(archive, tmp_path / "out", strip=1)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {"x/1.png", "list.csv"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    with pytest.raises(Mistake, match="already there"):
        archives.unpack(archive, tmp_path / "out")


def linked(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return path


def lying(path: Path) -> Path:
    """A member whose directory entry says 10 bytes while 10,000 come out."""
    zipped(path, {"a.bin": b"\0" * 10_000}, method=zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 10)
    path.write_bytes(raw)
    return path


def encrypted(path: Path) -> Path:
    raw = bytearray(zipped(path, {"a": b"x"}).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    return path


def changed(path: Path) -> Path:
    raw = bytearray(zipped(path, {"a": b"the content"}).read_bytes())
    raw[raw.index(b"the content")] ^= 1
    path.write_bytes(raw)
    return path


def text(path: Path) -> Path:
    path.write_text("<html>not found</html>")
    return path


def bomb(path: Path) -> Path:
    return zipped(path, {"a": b"\0" * (3 << 20)}, method=zipfile.ZIP_DEFLATED)


EVIL: list[tuple[Callable[[Path], Path], str]] = [
    (lambda path: zipped(path, {"good": b"", "../evil": b"x"}), "would leave the folder"),
    (lambda path: zipped(path, {"a/../../evil": b"x"}), "would leave the folder"),
    (lambda path: zipped(path, {"/etc/evil": b"x"}), "would leave the folder"),
    (lambda path: zipped(path, {"..\\evil": b"x"}), "would leave the folder"),
    (lambda path: zipped(path, {"C:/evil": b"x"}), "would leave the folder"),
    (lambda path: zipped(path, {"a.png": b"x", "A.PNG": b"y"}), "stands in it twice"),
    (linked, "a link or a device"),
    (bomb, "would swell"),
    (lying, "cannot be unpacked|longer than it says"),
    (encrypted, "is encrypted"),
    (changed, "cannot be unpacked"),
    (text, "cannot be unpacked"),
]


@pytest.mark.parametrize(("make", "told"), EVIL)
def test_evil_archives_leave_nothing(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    (tmp_path / "in").mkdir()
    archive = make(tmp_path / "in" / "evil.zip")
    with pytest.raises(Mistake, match=told) as raised:
        archives.unpack(archive, tmp_path / "deep" / "out")
    assert "evil.zip" in str(raised.value)
    assert not list((tmp_path / "deep").iterdir()) and {p.name for p in tmp_path.iterdir()} == {"in", "deep"}


def test_limits_on_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"x" * 100, "b": b"y"})
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(Mistake, match="holds 2 files"):
        archives.unpack(archive, tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    monkeypatch.setattr(archives, "MAX_BYTES", 100)
    with pytest.raises(Mistake, match="of 101 bytes"):
        archives.unpack(archive, tmp_path / "out")


def test_a_member_outside_the_wrapping_folder_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"top/a": b"x", "loose": b"y"})
    with pytest.raises(Mistake, match="one folder around all"):
        archives.unpack(archive, tmp_path / "out", strip=1)


def test_the_cache_keeps_what_was_unpacked(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"x"})
    folder = archives.unpacked(archive)
    assert archives.unpacked(archive) == folder and (folder / "a").read_bytes() == b"x"
    zipped(archive, {"a": b"longer"})
    assert (archives.unpacked(archive) / "a").read_bytes() == b"longer"
