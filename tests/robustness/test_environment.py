"""The command line without a home, with caches and streams that cannot be used, on narrow terminals that are not UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import synthetic_cohort

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one image under two labels, which audit names; the names are not ASCII."""
    folder = tmp_path_factory.mktemp("µ") / "sét"
    image = Image.fromarray(synthetic_cohort.synthetic_image(1, np.random.default_rng(0)))
    for name in ("Normal", "Atypical"):
        (folder / name).mkdir(parents=True)
        image.save(folder / name / f"{name}-é.png")
    return folder


def run(
    *args: str | Path, remove: tuple[str, ...] = (), shell: str = "", encoding: str = "utf-8", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run mitotype with another environment; `shell` is added to its command line (redirections)."""
    environment = {key: value for key, value in os.environ.items() if key not in remove}
    environment |= {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"} | variables
    command: list[str] = [sys.executable, "-m", "mitotype", *map(str, args)]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    result = subprocess.run(command, env=environment, capture_output=True, encoding=encoding, timeout=120, check=False)
    assert "Traceback" not in result.stderr, result.stderr
    return result


def test_without_a_home_a_temporary_cache_is_used_and_named(images: Path, tmp_path: Path) -> None:
    """A user id without an entry in passwd and without HOME has no home folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path\n"
        "def home(): raise RuntimeError('Could not determine home directory.')\n"
        "Path.home = home\n"
        "from mitotype.cli import main; main(sys.argv[1:])"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    environment |= {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    command = [sys.executable, "-c", code, "audit", str(images)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "no home folder" in result.stderr and "XDG_CACHE_HOME" in result.stderr
    assert not list(folder.glob("mitotype-cache-*"))  # removed at the end


@pytest.mark.parametrize("cache", ["/proc/nobody/cache", "file/cache"])
def test_a_cache_that_cannot_be_written_is_replaced(cache: str, images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("audit", images, XDG_CACHE_HOME=str(tmp_path / cache))
    assert result.returncode == 0 and "cannot be used" in result.stderr, result.stderr


def test_classify_needs_no_cache(images: Path) -> None:
    result = run("classify", images, "--bundle", "morphology", remove=("HOME",), XDG_CACHE_HOME="/proc/nobody")
    assert (result.returncode, "cannot be used" in result.stderr) == (0, False), result.stderr


LATIN_1 = {"LANG": "", "PYTHONIOENCODING": "latin-1:strict", "COLUMNS": "40", "TERM": "dumb"}


@pytest.mark.parametrize("variables", [{"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}, LATIN_1])
def test_a_terminal_or_pipe_that_is_not_utf8(variables: dict[str, str], images: Path) -> None:
    result = run("audit", images, encoding="latin-1", **variables)
    assert "M005" in result.stdout and "Traceback" not in result.stdout


def test_a_pipe_receives_utf8_whatever_the_locale(images: Path) -> None:
    assert "sét/Atypical/Atypical-é" in run("audit", images, "--json", LC_ALL="C").stdout


@pytest.mark.parametrize("command", [("train", "--help"), ("datasets", "amibr")])
def test_a_narrow_dumb_terminal(command: tuple[str, ...]) -> None:
    assert run(*command, COLUMNS="40", TERM="dumb", LC_ALL="C", PYTHONIOENCODING="ascii").returncode == 0


@pytest.mark.parametrize(
    ("shell", "status", "message"),
    [
        (">/dev/full", 2, "Standard output cannot be written: No space left on device"),
        (">&-", 2, "Standard output cannot be written: Bad file descriptor"),
        ("2>/dev/full", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(shell: str, status: int, message: str, images: Path) -> None:
    result = run("audit", images, shell=shell)
    assert (result.returncode, message in result.stderr) == (status, True), result.stderr


def test_closed_streams_do_not_become_other_files(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    result = run("classify", images, "--bundle", "morphology", "--out", out, shell="<&- >&- 2>&-")
    assert result.returncode == 0
    assert out.read_bytes().startswith(b"[") and out.read_bytes().endswith(b"]\n")


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.png")
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    for command in (("audit", tmp_path), ("audit", tmp_path / name)):
        result = run(*command)
        assert result.returncode == 2 and "a\\xff.png' is not UTF-8" in result.stderr
