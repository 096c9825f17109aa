"""The cache folder: the user's own, and a temporary one where that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mitotype.core import cache


def test_the_cache_is_in_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.cache_dir("packs") == tmp_path / "cache" / "mitotype" / "packs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_dir() == tmp_path / "home" / ".cache" / "mitotype"


@pytest.mark.parametrize("folder", ["/proc/nobody", "file/below"])
def test_a_cache_that_cannot_be_written_is_replaced(
    folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / folder))
    with pytest.warns(UserWarning, match=r"(?s)cannot be used.*XDG_CACHE_HOME"):
        first = cache.cache_dir("packs")
    assert first.is_relative_to(os.environ["XDG_CACHE_HOME"])  # which the workers inherit
    assert cache.cache_dir("packs") == first


def test_without_a_home_the_cache_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(UserWarning, match="no home folder"):
        assert cache.cache_dir("packs").name == "packs"


def test_a_lock_of_another_user_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = cache.cache_dir("packs") / ".key.lock"
    lock.mkdir(parents=True)  # as root may open every file, a folder stands for one that cannot be opened
    with pytest.warns(UserWarning, match="cannot be used"), cache.held("packs", "key") as folder:
        assert folder.is_relative_to(os.environ["XDG_CACHE_HOME"]) and not folder.is_relative_to(tmp_path / "cache")
    assert lock.is_dir()
