"""Commands that are killed, interrupted or stopped by a signal at random moments: repeated, they give the same numbers.

One moment for each command is in the ordinary suite; `pytest -m long tests/robustness/test_kills.py` runs twenty for each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from mitotype.api import scoring, training
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import exclusive
from mitotype.core.run_layout import names, read_bundle
from mitotype.datasets.dataset import Source, datasets
from mitotype.deploy.from_run import bundle_from_run
from mitotype.fit.train import checkpoint
from tests.robustness import commands
from tests.robustness.commands import SETTINGS, Command, of_files, of_run

BENCHMARK = ("--backbones", "d4resnet-tiny", "--adaptations", "full", "--set", "folds=2", "epochs=1", "batch=8")
CONTENT = np.random.default_rng(0).bytes(3_000_000)
MOMENTS = 20
SEEDS = [
    pytest.param(0, id="short"),
    pytest.param(1, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
]


def _evaluate(source: str, part: str, folder: Path) -> object:
    evaluation = scoring.evaluate(folder / source, part=part, n_boot=50)
    return [(entry.dataset, entry.patches, str(entry.variants)) for entry in evaluation.entries]


def _copy(source: str, folder: Path) -> None:
    """Copy the finished run, without its evaluations and scores of test sets if it is to gain them."""
    shutil.copytree(folder / source, folder / "copy")


def _register_mirror() -> None:
    """Add a data set that the server at $SERVER publishes."""
    url = os.environ["SERVER"]
    file = Source(urls=(f"{url}/data.bin",), save_as="data.bin")
    archive = Source(urls=(f"{url}/images.zip",), save_as="images", unpack=True)
    datasets.add("mirror")(dataclasses.replace(datasets.get("amibr"), sources=(file, archive)))


def _write_every_checkpoint() -> None:
    checkpoint.CheckpointWriter.__init__.__defaults__ = (0.0,)


def _use_two_workers() -> None:
    torch.set_num_threads(2)


COMMANDS = {
    "train": Command(
        args=("train", "demo", "--data", "train", "--out", "new", *SETTINGS),
        again=("resume", "new"),
        prepare=_write_every_checkpoint,
        summary=of_run("new"),
        accepted=functools.partial(_evaluate, "new", "out-of-fold"),
    ),
    "train-pool": Command(
        args=("train", "demo", "--data", "train", "--out", "new", *SETTINGS),
        again=("resume", "new"),
        prepare=_use_two_workers,
        summary=of_run("new"),
        accepted=functools.partial(_evaluate, "new", "out-of-fold"),
    ),
    "benchmark": Command(
        args=("benchmark", "--data", "train", "--test", "test", "--out", "new", "--n-boot", "50", *BENCHMARK),
        summary=lambda folder: (of_run("new/runs/*")(folder), of_files("new/table.*", "new/openings.jsonl")(folder)),
    ),
    "score": Command(
        args=("score", "bundle", "--on", "test", "other", "--out", "new"),
        summary=of_files("new/scores.parquet", "new/patches.parquet", "new/openings.jsonl", "new/decision.json"),
        accepted=functools.partial(_evaluate, "new", "test"),
    ),
    "score-run": Command(
        args=("score", "copy", "--on", "test", "other"),
        summary=of_run("copy"),
        accepted=functools.partial(_evaluate, "copy", "test"),
        setup=functools.partial(_copy, "run"),
    ),
    "bundle": Command(
        args=("bundle", "run", "--out", "new"),
        summary=of_files("new/bundle.json", "new/card.md", "new/members/*/*"),
        accepted=lambda folder: read_bundle(folder / "new").files,
    ),
    "evaluate": Command(
        args=("evaluate", "copy", "--part", "out-of-fold", "--n-boot", "400"),
        summary=of_files("copy/evaluation-out-of-fold.json", "copy/report-out-of-fold.html"),
        accepted=of_files("copy/evaluation-out-of-fold.json"),
        setup=functools.partial(_copy, "run"),
    ),
    "embed": Command(
        args=("embed", "morphology", "--data", "train", "--out", "new.parquet"),
        summary=of_files("new.parquet"),
        accepted=of_files("new.parquet"),
    ),
    "classify": Command(
        args=("classify", "train", "test", "other", "--bundle", "bundle", "--out", "new.csv"),
        summary=of_files("new.csv"),
        accepted=of_files("new.csv"),
    ),
    "fetch": Command(
        prepare=_register_mirror,
        args=("fetch", "mirror", "new"),
        summary=of_files("new/data.bin", "new/images/*", "new/fetched.json"),
        accepted=of_files("new/data.bin"),
    ),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images to train on and two test sets, a finished run and its bundle."""
    folder = tmp_path_factory.mktemp("material")
    for seed, (name, count) in enumerate({"train": 24, "test": 12, "other": 12}.items()):
        commands.write_images(folder / name, count, seed)
    recipe = training.load_recipe("demo", SETTINGS[1:])
    training.train(recipe, [str(folder / "train")], out=folder / "run", device="cpu")
    bundle_from_run(folder / "run", folder / "bundle")
    return folder


@pytest.fixture(scope="module")
def reference(material: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """Return a function with the output of an undisturbed command, and how long it takes."""

    @functools.cache
    def undisturbed(name: str) -> Reference:
        command, folder = COMMANDS[name], _folder(material, tmp_path_factory.mktemp(name), COMMANDS[name])
        ended = commands.run(command, folder, command.args)
        assert ended.status == 0, ended.err
        return Reference(command.summary(folder), command.accepted(folder), ended.seconds)

    return undisturbed


@dataclasses.dataclass(frozen=True)
class Reference:
    summary: object
    accepted: object
    seconds: float


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve a file and an archive slowly, with ranges; the address is in $SERVER."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for i in range(20):
            opened.writestr(f"{i}.bin", CONTENT[i * 1000 : (i + 1) * 1000])
    files = {"/data.bin": CONTENT, "/images.zip": archive.getvalue()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, byte_range = files[self.path], self.headers.get("Range", "bytes=0-")
            start = int(byte_range.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", '"one"')
            self.end_headers()
            try:
                for at in range(start, len(content), 30_000):
                    self.wfile.write(content[at : at + 30_000])
                    threading.Event().wait(0.005)
            except OSError:  # the reader was killed
                return

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVER", f"http://127.0.0.1:{http.server_port}")
        yield os.environ["SERVER"]
    http.shutdown()
    http.server_close()


def _folder(material: Path, folder: Path, command: Command) -> Path:
    """Link the material into the folder of a trial, in which the command writes."""
    for path in material.iterdir():
        (folder / path.name).symlink_to(path)
    command.setup(folder)
    return folder


def _check_repeated(name: str, folder: Path, expected: Reference) -> None:
    """Check that what was stopped is not taken for whole, and that the command that continues gives the expected output."""
    command = COMMANDS[name]
    with contextlib.suppress(UserError, FileNotFoundError):
        assert command.accepted(folder) in (expected.accepted, {}), "half of the output is taken for whole"
    again = command.again if (folder / "new" / names.RUN).is_file() and command.again else command.args
    ended = commands.run(command, folder, again)
    if "already contains a" in ended.err or "is already there" in ended.err:
        ended = dataclasses.replace(ended, status=0)  # it was complete
    assert ended.status == 0, ended.err
    assert command.summary(folder) == expected.summary
    assert commands.leftovers(folder) == []
    for lock in folder.glob("*/.lock"):
        with exclusive(lock.parent):
            pass


def _moments(name: str, seconds: float, seed: int, count: int) -> list[float]:
    return np.random.default_rng([seed, *name.encode()]).uniform(0.05, 1, count).round(3).tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_is_repeated_to_the_same_numbers(
    name: str, seed: int, material: Path, reference: Callable[[str], Reference], tmp_path: Path
) -> None:
    if seed == 0 and name == "train-pool":
        pytest.skip("in the long part")
    expected = reference(name)
    for number, moment in enumerate(_moments(name, expected.seconds, seed, MOMENTS if seed else 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        _folder(material, folder, COMMANDS[name])
        killed = commands.run(COMMANDS[name], folder, COMMANDS[name].args, at_s=moment * expected.seconds)
        assert killed.status in (0, -signal.SIGKILL), killed.err
        assert killed.survivors == 0, f"a child outlives the kill at {moment}"
        _check_repeated(name, folder, expected)
        shutil.rmtree(folder)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupted_command_prints_how_to_continue(
    name: str, number: int, seed: int, material: Path, reference: Callable[[str], Reference], tmp_path: Path
) -> None:
    if seed == 0 and (name, number) not in (("train-pool", signal.SIGINT), ("classify", signal.SIGTERM)):
        pytest.skip("in the long part")
    expected = reference(name)
    for index, moment in enumerate(_moments(f"{name}{number}", expected.seconds, seed, MOMENTS if seed else 1)):
        folder = tmp_path / str(index)
        folder.mkdir()
        _folder(material, folder, COMMANDS[name])
        at_s = moment * expected.seconds
        ended = commands.run(COMMANDS[name], folder, COMMANDS[name].args, at_s=at_s, number=number)
        assert ended.survivors == 0
        assert "Traceback" not in ended.err, (moment, ended.err)
        if ended.status == 128 + number:
            assert "Stopped" in ended.err and "continue: " in ended.err
        else:
            assert ended.status == 0, (moment, ended.status, ended.err)  # it had ended
        _check_repeated(name, folder, expected)
        shutil.rmtree(folder)
