"""Outputs are refused before the work where they cannot be written or would replace something; folders are held by one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mitotype.core import outputs
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import OccupiedError, exclusive
from mitotype.core.run_layout import names


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "new/deep/a.csv", "ü.csv", "a.b.csv", "x" * 200 + ".csv"])
def test_a_file_that_can_be_written_is_accepted_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    outputs.check_file(tmp_path / name, (".csv",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a.xlsx", "a", "file/a.csv", "folder.csv", os.fsdecode(b"a\xff.csv"), "x" * 252 + ".csv"]
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError) as error:
        outputs.check_file(tmp_path / name, (".csv",))
    str(error.value).encode()  # it can be printed


@pytest.mark.parametrize("path", ["/dev/null", "/proc/a.csv", "/proc/self/a.csv", "/sys/a.csv"])
def test_devices_and_folders_of_the_kernel_are_refused(path: str) -> None:
    if not Path(path).parent.exists():
        pytest.skip("not on this system")
    with pytest.raises(UserError, match=Path(path).name):
        outputs.check_file(Path(path), (".csv", ""))
    with pytest.raises(UserError):
        outputs.check_folder(Path(path))


def test_an_input_is_not_replaced_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("list.csv", "data/cohort.csv"):
        (tmp_path / name).touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "list.csv")
    inputs = [str(tmp_path / "list.csv"), f"amibr={tmp_path / 'data'}"]
    for name in ("list.csv", "link.csv", "data/../list.csv", "data/cohort.csv"):
        with pytest.raises(UserError, match=r"is an input|is already there"):
            outputs.check_file(tmp_path / name, (".csv",), inputs=inputs)
    outputs.check_file(tmp_path / "data" / "new.csv", (".csv",), inputs=inputs)


@pytest.mark.parametrize("name", sorted(names.OWN_FILES - {names.MEMBERS, names.BASES, names.DONE}))
def test_no_output_has_the_name_of_a_file_of_a_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="a file of a run or bundle"):
        outputs.check_file(tmp_path / name, (Path(name).suffix,))


def test_no_output_lies_among_the_members_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "members" / "a").mkdir(parents=True)
    outputs.check_file(tmp_path / "members" / "a" / "x.csv", (".csv",))  # a folder of that name alone is none
    (tmp_path / names.RUN).touch()
    with pytest.raises(UserError, match="a file of a run or bundle"):
        outputs.check_file(tmp_path / "members" / "a" / "x.csv", (".csv",))


def test_a_claimed_folder_that_remains_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="later"), outputs.claimed(tmp_path / "new", names.RUN_FILES):
        raise UserError("later")
    assert not (tmp_path / "new").exists()
    with outputs.claimed(tmp_path / "new", names.RUN_FILES):
        (tmp_path / "new" / names.PATCHES).touch()
    with outputs.claimed(tmp_path / "new", names.RUN_FILES):  # as after a kill: its lock shows whose files they are
        pass


def test_a_folder_with_files_of_others_or_another_content_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / names.PATCHES).touch()
    with (
        pytest.raises(UserError, match=r"patches.parquet' is already there"),
        outputs.claimed(tmp_path, names.RUN_FILES),
    ):
        pass
    assert not (tmp_path / names.LOCK).exists()
    (tmp_path / names.PATCHES).rename(tmp_path / names.BUNDLE)
    with pytest.raises(UserError, match="already contains a bundle"), outputs.claimed(tmp_path, names.RUN_FILES):
        pass
    with pytest.raises(UserError, match="is an input"), outputs.claimed(tmp_path, (), inputs=[f"a={tmp_path}"]):
        pass


def test_one_process_works_in_a_folder_and_a_second_one_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\nfrom mitotype.core.folder_lock import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(OccupiedError, match=rf"\(pid {other.pid}\) is working in"), exclusive(tmp_path):
            pass
        other.kill()
        other.wait()
        with exclusive(tmp_path), exclusive(tmp_path):  # the lock ended with its process; this one may hold it twice
            pass
