"""A full disk, files that may not grow, and folders that cannot be written: one line with file and remedy, and nothing is lost.

The disk is a small tmpfs, where this process may mount one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mitotype.api import training
from mitotype.deploy.from_run import bundle_from_run
from tests.robustness import commands
from tests.robustness.commands import SETTINGS, Command, Ended, of_files, of_run

KB = 1024
DISK_KB = 4096


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a disk of DISK_KB; skip where none can be mounted."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    for seed, (name, count) in enumerate({"train": 24, "test": 12}.items()):
        commands.write_images(folder / name, count, seed)
    recipe = training.load_recipe("demo", SETTINGS[1:])
    training.train(recipe, [str(folder / "train")], out=folder / "run", device="cpu")
    bundle_from_run(folder / "run", folder / "bundle")
    return folder


def _fill(disk: Path, free_kb: int) -> None:
    """Leave `free_kb` on the disk."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb") as file:
        while True:
            file.write(b"x" * KB)
            file.flush()
    with (disk / "filler").open("rb+") as file:
        file.truncate(max(0, (disk / "filler").stat().st_size - free_kb * KB))


def _commands(out: Path, material: Path) -> dict[str, Command]:
    """Return commands that write below `out`."""
    data = {name: str(material / name) for name in ("train", "test", "run", "bundle")}
    benchmark = ("--backbones", "d4resnet-tiny", "--adaptations", "full", "--set", "folds=2", "epochs=1", "batch=8")

    def below(name: str, *patterns: str) -> Callable[[Path], object]:
        return lambda folder: of_files(*(f"{name}/{pattern}" for pattern in patterns))(out)

    new = str(out / "new")
    return {
        "train": Command(
            args=("train", "demo", "--data", data["train"], "--out", new, *SETTINGS),
            again=("resume", new),
            summary=lambda folder: of_run("new")(out),
        ),
        "benchmark": Command(
            args=("benchmark", "--data", data["train"], "--test", data["test"], "--out", new, "--n-boot", "50", *benchmark),
            summary=lambda folder: (of_run("new/runs/*")(out), of_files("new/table.csv")(out)),
        ),
        "score": Command(
            args=("score", data["bundle"], "--on", data["test"], "--out", new),
            summary=below("new", "scores.parquet", "openings.jsonl", "decision.json"),
        ),
        "bundle": Command(args=("bundle", data["run"], "--out", new), summary=below("new", "bundle.json")),
        "evaluate": Command(
            args=("evaluate", data["run"], "--part", "out-of-fold", "--n-boot", "50", "--out", f"{new}/x.html"),
            summary=below("new", "x.json"),
        ),
        "classify": Command(
            args=("classify", data["test"], "--bundle", data["bundle"], "--out", f"{new}/x.parquet"),
            summary=below("new", "x.parquet"),
        ),
        "embed": Command(
            args=("embed", "morphology", "--data", data["train"], "--out", f"{new}/x.csv"),
            summary=below("new", "x.csv"),
        ),
    }  # fmt: skip


NAMES = tuple(_commands(Path(), Path()))
SHORT = ("train", "score", "classify")


@pytest.fixture(scope="module")
def reference(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], object]:
    """Return a function with the undisturbed output of a command."""
    outputs: dict[str, object] = {}

    def undisturbed(name: str) -> object:
        if name not in outputs:
            out = tmp_path_factory.mktemp(name)
            command = _commands(out, material)[name]
            ended = commands.run(command, out, command.args)
            assert ended.status == 0, ended.err
            outputs[name] = command.summary(out)
        return outputs[name]

    return undisturbed


@pytest.mark.long
@pytest.mark.parametrize("free_kb", [0, 8, 40, 120, 300])
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(
    name: str, free_kb: int, disk: Path, material: Path, reference: Callable[[str], object], tmp_path: Path
) -> None:
    """The command names the file and the remedy, earlier files are intact, and with free space it is completed."""
    expected = reference(name)
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (disk / "earlier.csv").write_text("a,b\n")
    _fill(disk, free_kb)
    command = _commands(disk, material)[name]
    stopped = commands.run(command, tmp_path, command.args)
    assert (disk / "earlier.csv").read_text() == "a,b\n"
    (disk / "filler").unlink()
    if stopped.status:
        _check_refused(stopped, disk, "The disk is full", "free some space")
        _check_completed(command, stopped, tmp_path, expected)
    assert command.summary(disk) == expected
    assert commands.leftovers(disk) == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SHORT else pytest.mark.long) for name in NAMES]
)
def test_a_file_that_may_not_grow(
    name: str, material: Path, reference: Callable[[str], object], tmp_path: Path
) -> None:
    """As a full disk, by a limit on the size of files, which a cache exceeds too: it is skipped with a warning."""
    expected = reference(name)
    (tmp_path / "earlier.csv").write_text("a,b\n")
    command = _commands(tmp_path, material)[name]
    stopped = commands.run(dataclasses.replace(command, prepare=_limit_files), tmp_path, command.args)
    assert stopped.status == 2, stopped.err
    _check_refused(stopped, tmp_path / "new", "is larger than a file may be here", "raise the limit")
    assert (tmp_path / "earlier.csv").read_text() == "a,b\n"
    _check_completed(command, stopped, tmp_path, expected)
    assert commands.leftovers(tmp_path / "new") == []


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (3500, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("name", NAMES)
def test_a_path_below_a_file_is_refused_before_the_work(name: str, material: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("theirs")
    command = _commands(tmp_path / "file", material)[name]
    refused = commands.run(command, tmp_path, command.args)
    assert (refused.status, refused.out) == (2, "")
    assert "Traceback" not in refused.err
    assert str(tmp_path / "file") in refused.err
    assert (tmp_path / "file").read_text() == "theirs"
    assert not (tmp_path / "cache" / "mitotype").exists(), "it read images first"


def _check_refused(stopped: Ended, out: Path, what: str, remedy: str) -> None:
    """Check that one error names a file below `out` and the remedy."""
    assert "Traceback" not in stopped.err, stopped.err
    errors = [line for line in stopped.err.splitlines() if what in line and "Warning" not in line]
    assert len(errors) == 1, stopped.err
    assert str(out) in errors[0], stopped.err
    assert f"  {remedy}" in stopped.err, stopped.err


def _check_completed(command: Command, stopped: Ended, folder: Path, expected: object) -> None:
    """Check that the command that the error names completes the output."""
    needs_resume = "then mitotype resume" in stopped.err
    assert needs_resume or "then repeat the command" in stopped.err
    ended = commands.run(command, folder, command.again if needs_resume else command.args)
    assert ended.status == 0, ended.err
    assert command.summary(folder) == expected
