"""A trial of a build folder without Docker: one process per stack, no network where the system allows that."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mitotype.core import files, walk
from mitotype.core.errors import UserError
from mitotype.core.run_layout import names
from mitotype.deploy.challenge import build_folder, interface
from mitotype.deploy.challenge.entry import MODEL_PATH, classify_stack

N_RUNS = 3
TOLERANCE = 1e-4  # of P(atypical) between two processes: a GPU does not repeat its sums exactly
UNSHARE = ("unshare", "--map-root-user", "--net")  # util-linux: a process without a network
# Seconds per run that the organizers measured of three submissions on an RTX 4090 (github.com/DeepMicroscopy/MIDOG2025).
ORGANIZERS_SECONDS = (0.42, 0.82, 4.86)


@dataclass(frozen=True)
class ChallengeCheck:
    """The trial of a build folder; `check_challenge` returns it.

    Parameters
    ----------
    pages : int
        Number of figures in the stack.
    seconds : tuple of float
        From the start of the process to its end, once per run.
    cpu_seconds : tuple of float
        What it computed of them, over all cores: what a machine with other work takes longer for is not in it.
    memory_bytes : int
        The largest resident memory of a run.
    model_bytes : int
        Size of the bundle in the folder.
    wheels_bytes : int
        Size of the wheels in the folder.
    has_network : bool
        Whether the process could have reached a network: the system did not allow to take it away.

    See Also
    --------
    check_challenge : Try a build folder.

    Examples
    --------
    >>> import mitotype
    >>> folder = mitotype.challenge("morphology", "container")
    >>> check = mitotype.check_challenge(folder)
    >>> check.pages, len(check.seconds)
    (16, 3)
    """

    pages: int
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    memory_bytes: int
    model_bytes: int
    wheels_bytes: int
    has_network: bool

    def __str__(self) -> str:
        others = ", ".join(f"{seconds:.2f}" for seconds in ORGANIZERS_SECONDS)
        wall, cpu = statistics.median(self.seconds), statistics.median(self.cpu_seconds)
        network = "not taken away: this system does not allow it" if self.has_network else "none"
        lines = {
            "output": f"accepted; {self.pages} figures as classify decides them",
            "seconds": f"{wall:.2f} per stack, {cpu:.2f} of CPU; medians of {len(self.seconds)} processes",
            "organizers": f"{others} s for three submissions, on their GPU",
            "memory": f"{self.memory_bytes / 1e6:.0f} MB",
            "model": f"{self.model_bytes / 1e6:.1f} MB",
            "wheels": f"{self.wheels_bytes / 1e6:.1f} MB" if self.wheels_bytes else "none in the folder",
            "network": network,
        }
        return "\n".join(f"{name:10}  {text}" for name, text in lines.items())


class _Run(NamedTuple):
    seconds: float
    cpu_seconds: float
    memory_bytes: int


def check_folder(folder: Path, input_dir: Path | None = None) -> ChallengeCheck:
    """Run the entry point of a build folder on its test stack, or that of `input_dir`, and check what it writes.

    Raises a UserError for a run that fails, an output that the platform refuses, predictions that `classify` does not give,
    and an input that was changed.
    """
    if not hasattr(os, "wait4"):
        raise UserError("Processes are not measured on this system.", fix="use Linux or macOS")
    entry, model_dir = folder / build_folder.ENTRY, folder / build_folder.MODEL
    if not walk.is_file(entry) or not names.is_bundle(model_dir):
        raise UserError(f"'{folder}' is no build folder.", fix="write one: mitotype challenge BUNDLE --out DIR")
    expected = [(p.label_name, p.probability) for p in classify_stack(_input(folder, input_dir), model_dir)]
    isolated = UNSHARE if _can_unshare() else ()
    runs = []
    for _ in range(N_RUNS):
        with tempfile.TemporaryDirectory() as directory:
            copy, output_dir = Path(directory) / "input", Path(directory) / "output"
            shutil.copytree(_input(folder, input_dir), copy)
            output_dir.mkdir()
            before = _digests(copy)
            command = [*isolated, sys.executable, str(entry), "--input", str(copy), "--output", str(output_dir)]
            runs.append(_measured(command))
            written = interface.read_classifications(output_dir, len(expected))
            if _digests(copy) != before:
                raise UserError("The entry point changed its input, which is read-only on the platform.")
        _compare(written, expected)
    return ChallengeCheck(
        pages=len(expected),
        seconds=tuple(run.seconds for run in runs),
        cpu_seconds=tuple(run.cpu_seconds for run in runs),
        memory_bytes=max(run.memory_bytes for run in runs),
        model_bytes=_size(model_dir),
        wheels_bytes=_size(folder / build_folder.WHEELS),
        has_network=not isolated,
    )


def _input(folder: Path, input_dir: Path | None) -> Path:
    return folder / build_folder.TEST_INPUT if input_dir is None else input_dir


def _can_unshare() -> bool:
    command = [*UNSHARE, "true"]
    return shutil.which(UNSHARE[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def _measured(command: list[str]) -> _Run:
    """Run a command. Raises a UserError with what it printed if it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        environment = {name: value for name, value in os.environ.items() if name != MODEL_PATH}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        printed = log.read().decode("utf-8", "replace").strip()
    if process.returncode:
        raise UserError(f"The entry point failed with the status {process.returncode}:\n{printed[-2000:]}")
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _Run(elapsed, usage.ru_utime + usage.ru_stime, peak_bytes)


def _compare(written: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    for page, ((label, p), (expected_label, expected_p)) in enumerate(zip(written, expected, strict=True)):
        if label != expected_label or abs(p - expected_p) > TOLERANCE:
            what = f"Page {page} is {label} ({p:.6f}) by the entry point and {expected_label} ({expected_p:.6f}) by classify."
            raise UserError(what, fix="write the folder again with this version of mitotype")


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): files.sha256(path) for path in walk.iter_files(folder, ("",))}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in walk.iter_files(folder, ("",)))
