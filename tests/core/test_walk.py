"""The one walk over folders: links once, nothing skipped in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mitotype.core import walk
from mitotype.core.errors import UserError

PNG = (".png", ".tif")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk.iter_files(folder, PNG)]


def test_files_come_before_folders_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("b/2.PNG", "a/1.png", "z.png", ".h/1.png", "a/.h.png", "__MACOSX/1.png", "a/n.txt")
        )
    )
    assert names(tmp_path) == ["z.png", "a/1.png", "b/2.PNG"]


def test_a_folder_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path / "x.tif" / "1.png")
    assert names(tmp_path) == ["x.tif/1.png"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "data" / "real" / "1.png", tmp_path / "outside" / "2.png", tmp_path / "outside" / "deep" / "3.png")
    data = tmp_path / "data"
    (data / "a_loop").symlink_to(data, target_is_directory=True)
    (data / "b_again").symlink_to(data / "real", target_is_directory=True)
    (data / "c_outside").symlink_to(tmp_path / "outside", target_is_directory=True)
    (data / "d_deep").symlink_to(tmp_path / "outside" / "deep", target_is_directory=True)
    (data / "e.png").symlink_to(tmp_path / "outside" / "2.png")
    assert names(data) == ["e.png", "real/1.png", "c_outside/2.png", "c_outside/deep/3.png"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a" / "1.png", tmp_path / "closed" / "2.png")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"folder '.*closed' cannot be read: permission denied"):
        names(tmp_path)


def test_a_name_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"a\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    with pytest.raises(UserError, match=r"name '.*a\\xff\.png' is not UTF-8"):
        names(tmp_path)


def test_names_that_no_file_system_takes_are_no_files(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b", "absent"):
        assert not walk.is_file(tmp_path / name)
        assert not walk.exists(tmp_path / name)


def test_a_file_below_a_closed_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UserError, match="cannot be read: permission denied"):
        walk.is_file(tmp_path / "a.png")
