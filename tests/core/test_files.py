"""Complete or absent: atomic writes, locks, digests, a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import SafetensorError

from mitotype.core import files
from mitotype.core.errors import UserError, WriteError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_text(path, "whole")
    with pytest.raises(RuntimeError), files.atomic(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_text(path, "whole")
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom mitotype.core import files\n"
        "with files.atomic(Path(sys.argv[1])) as part:\n    part.write_text('half')\n    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.read_text() == "whole"


def test_a_full_disk_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disk is full"), files.atomic(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_real_full_device_is_a_user_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(UserError, match="disk is full"), files.translate_os_errors(full), full.open("w") as file:
        file.write("x" * 100_000)
        file.flush()


def test_csv_cells_that_a_spreadsheet_would_evaluate_are_escaped(tmp_path: Path) -> None:
    files.write_table(tmp_path / "a.csv", pd.DataFrame({"path": ["=cmd()", "a"], "x": [-1.0, 2.0]}))
    assert (tmp_path / "a.csv").read_text() == "path,x\n'=cmd(),-1.0\na,2.0\n"


def test_digests_of_parts_do_not_collide() -> None:
    assert files.digest_of("ab", "c") != files.digest_of("a", "bc")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_leftovers_of_killed_processes_are_removed_and_those_of_live_ones_are_not(tmp_path: Path) -> None:
    dead = [tmp_path / ".a.json.abcdefgh.part", tmp_path / ".b.12345678.part"]
    dead[0].write_text("half")
    dead[1].mkdir()
    (dead[1] / "inside").touch()
    strangers = [tmp_path / "data.bin.part", tmp_path / ".hidden"]
    for path in strangers:
        path.touch()
    with (tmp_path / ".c.json.abcdefgh.part").open("wb") as live:
        assert files.try_lock(live.fileno())
        files.write_text(tmp_path / "d.json", "{}")
        assert not any(path.exists() for path in dead)
        assert all(path.exists() for path in (*strangers, Path(str(live.name))))


def test_half_a_line_is_removed_by_the_next_append_and_a_line_without_end_is_given_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n{"n": 2')
    files.append_line(path, b'{"n": 3}')
    assert _lines(path) == ['{"n": 1}', '{"n": 3}']
    path.write_text('{"n": 1}')
    files.append_line(path, b'{"n": 2}')
    assert _lines(path) == ['{"n": 1}', '{"n": 2}']
    path.write_text("x" * 10_000)  # longer than what is read at once
    files.append_line(path, b"{}")
    assert _lines(path) == ["{}"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_line_that_does_not_fit_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    path = tmp_path / "a.jsonl"
    files.append_line(path, b'{"n": 1}')
    write = os.write

    def half(handle: int, raw: bytes) -> int:
        if len(raw) < 8:
            raise OSError(code, os.strerror(code))
        return write(handle, raw[:4])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(WriteError, match=str(path)):
        files.append_line(path, b'{"n": 2}')
    assert _lines(path) == ['{"n": 1}']


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EROFS, ""), "may not be written"),
        (OSError(errno.EACCES, ""), "make '.*' writable"),
        (OSError(errno.EFBIG, ""), "ulimit"),
        (OSError(errno.EDQUOT, ""), "quota"),
        (OSError("240 requested and 16 written"), "disk is full"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk is full"),
    ],
)
def test_what_the_system_refuses_is_an_error_with_a_remedy(tmp_path: Path, error: Exception, message: str) -> None:
    with pytest.raises(WriteError, match=message) as raised, files.atomic(tmp_path / "a"):
        raise error
    assert "repeat the command" in str(raised.value)
    raised.value.continue_with("mitotype resume runs/a")
    assert "then mitotype resume runs/a" in str(raised.value)


def test_an_array_is_written_as_numpy_does(tmp_path: Path) -> None:
    for array in (np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.arange(6.0).reshape(2, 3).T):
        files.write_array(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)
