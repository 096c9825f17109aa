"""Archives: valid ones are unpacked completely; paths that leave the folder and bombs are rejected before a byte is written."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mitotype.core.errors import UserError
from mitotype.datasets.download import archives


def write_zip(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_valid_archive_is_unpacked(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"top/": b"", "top/x/1.png": b"one", "top/list.csv": b"two"})
    folder = archives.unpack(archive, tmp_path / "out", strip=1)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {"x/1.png", "list.csv"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    with pytest.raises(UserError, match="already there"):
        archives.unpack(archive, tmp_path / "out")


def write_link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return path


def write_false_size(path: Path) -> Path:
    """Write a member whose directory entry states 10 bytes while it has 10,000."""
    write_zip(path, {"a.bin": b"\0" * 10_000}, method=zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 10)
    path.write_bytes(raw)
    return path


def write_encrypted(path: Path) -> Path:
    raw = bytearray(write_zip(path, {"a": b"x"}).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    return path


def write_changed(path: Path) -> Path:
    raw = bytearray(write_zip(path, {"a": b"the content"}).read_bytes())
    raw[raw.index(b"the content")] ^= 1
    path.write_bytes(raw)
    return path


def write_html(path: Path) -> Path:
    path.write_text("<html>not found</html>")
    return path


def write_bomb(path: Path) -> Path:
    return write_zip(path, {"a": b"\0" * (3 << 20)}, method=zipfile.ZIP_DEFLATED)


INVALID: list[tuple[Callable[[Path], Path], str]] = [
    (lambda path: write_zip(path, {"good": b"", "../evil": b"x"}), "would leave the folder"),
    (lambda path: write_zip(path, {"a/../../evil": b"x"}), "would leave the folder"),
    (lambda path: write_zip(path, {"/etc/evil": b"x"}), "would leave the folder"),
    (lambda path: write_zip(path, {"..\\evil": b"x"}), "would leave the folder"),
    (lambda path: write_zip(path, {"C:/evil": b"x"}), "would leave the folder"),
    (lambda path: write_zip(path, {"a.png": b"x", "A.PNG": b"y"}), "occurs twice"),
    (write_link, "a link or a device"),
    (write_bomb, "expands to"),
    (write_false_size, "cannot be unpacked|longer than it states"),
    (write_encrypted, "is encrypted"),
    (write_changed, "cannot be unpacked"),
    (write_html, "cannot be unpacked"),
]


@pytest.mark.parametrize(("write", "message"), INVALID)
def test_rejected_archives_leave_nothing(tmp_path: Path, write: Callable[[Path], Path], message: str) -> None:
    (tmp_path / "in").mkdir()
    archive = write(tmp_path / "in" / "evil.zip")
    with pytest.raises(UserError, match=message) as raised:
        archives.unpack(archive, tmp_path / "deep" / "out")
    assert "evil.zip" in str(raised.value)
    assert not list((tmp_path / "deep").iterdir()) and {p.name for p in tmp_path.iterdir()} == {"in", "deep"}


def test_limits_on_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": b"x" * 100, "b": b"y"})
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(UserError, match="holds 2 files"):
        archives.unpack(archive, tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    monkeypatch.setattr(archives, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="of 101 bytes"):
        archives.unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"x" * 300: b"1"}, "longer than a file system takes"),
        ({"é" * 150: b"1"}, "longer than a file system takes"),
        ({"x/" * 3000 + "y": b"1"}, "longer than a file system takes"),
        ({"x/" * 16 + "y": b"1"}, "lies in 16 folders"),
        ({"a": b"1", "a/b": b"1"}, "in a folder that is a file"),
        ({"a/b/c": b"1", "A": b"1"}, "in a folder that is a file"),
    ],
)
def test_names_that_no_folder_can_hold_are_rejected(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        archives.unpack(write_zip(tmp_path / "a.zip", members), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_any_compression_is_an_error(method: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": bytes(range(256)) * 40}, method=method)
    intact = path.read_bytes()
    for at in range(40, 80):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 0xFF]) + intact[at + 1 :])
        try:
            archives.unpack(path, tmp_path / f"out{at}")
        except UserError:
            assert not (tmp_path / f"out{at}").exists()
        else:
            assert (tmp_path / f"out{at}" / "a.txt").read_bytes() == bytes(range(256)) * 40


def test_a_member_outside_the_top_folder_is_rejected(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"top/a": b"x", "loose": b"y"})
    with pytest.raises(UserError, match="one folder around all files"):
        archives.unpack(archive, tmp_path / "out", strip=1)


def test_an_unpacked_archive_is_cached(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a": b"x"})
    folder = archives.unpack_cached(archive)
    assert archives.unpack_cached(archive) == folder and (folder / "a").read_bytes() == b"x"
    write_zip(archive, {"a": b"longer"})
    assert (archives.unpack_cached(archive) / "a").read_bytes() == b"longer"
