"""Complete or absent: atomic writes, locks, digests, a full disk."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mitotype.core import files
from mitotype.core.errors import UserError


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


def test_escaped_cells_are_read_back_unchanged(tmp_path: Path) -> None:
    rows = pd.DataFrame({"votes": ["-AN", "A-N", "'quoted'"], "x": [-1.0, 2.0, 3.0]})
    files.write_table(tmp_path / "a.csv", rows)
    assert files.read_table(tmp_path / "a.csv")["votes"].tolist() == rows["votes"].tolist()


def test_windows_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeffpath,label\r\na.png,1\r\n".encode())
    rows = files.read_table(tmp_path / "a.csv")
    assert list(rows.columns) == ["path", "label"]
    assert rows["path"].tolist() == ["a.png"]


def test_digests_of_parts_do_not_collide() -> None:
    assert files.digest_of("ab", "c") != files.digest_of("a", "bc")
