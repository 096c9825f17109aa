"""A process that runs trials one after another, under a limit on memory, and reports how each ended.

python -m tests.robustness.worker MATERIAL SCRATCH      reads lines "KIND SEED", prints lines of JSON
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mitotype.api import data, deployment, models, scoring, training  # noqa: F401 (loaded before memory is limited)
from mitotype.cli import main
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import LOCK
from tests.robustness.kinds import KINDS
from tests.robustness.trial import Sandbox, Trial

LIMIT_BYTES = 2 * 2**30  # beyond what the loaded libraries take
JSON_SUFFIXES = (".json", ".parquet", ".csv", ".html")


@dataclass
class Outcome:
    """How one input ended: exit status, the exception that is no UserError, what was found on disk, seconds, peak memory."""

    kind: str
    seed: int
    status: int = 0
    message: str = ""
    error: str = ""
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.seed}"


def run(kind: str, seed: int, material: Path, scratch: Path) -> Outcome:
    folder = scratch / f"{kind}-{seed}"
    folder.mkdir(parents=True)
    os.environ["XDG_CACHE_HOME"] = str(scratch / f"cache-{kind}-{seed}")
    outcome = Outcome(kind, seed)
    trial = KINDS[kind](Sandbox(material, folder, random.Random(f"{kind} {seed}")))
    before = _snapshot(folder)
    resident = _reset_peak()
    here, started = Path.cwd(), time.monotonic()
    os.chdir(folder)
    try:
        outcome.status, outcome.message = _run(trial)
    except BaseException as error:
        outcome.status, outcome.error = 70, _origin(error)
    os.chdir(here)
    outcome.seconds = round(time.monotonic() - started, 2)
    outcome.peak_mb = round((_memory("VmHWM") - resident) / 1024, 1)
    if not outcome.error:
        outcome.error = _faults(trial, outcome, before, folder)
    shutil.rmtree(scratch / f"cache-{kind}-{seed}", ignore_errors=True)
    if not outcome.error:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _run(trial: Trial) -> tuple[int, str]:
    """Return the exit status and what was printed on standard error."""
    streams = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trial.call() if trial.call else main(trial.argv)
        except UserError as error:
            return 2, str(error)
        except SystemExit as error:
            return int(error.code or 0), "".join(stream.getvalue() for stream in reversed(streams))
    return 0, streams[1].getvalue()


def _faults(trial: Trial, outcome: Outcome, before: dict[str, str], folder: Path) -> str:
    """Return what is wrong with the end of a trial, "" if nothing is."""
    if outcome.status not in (0, 1, 2):
        return f"exit status {outcome.status}"
    if outcome.status and not outcome.message.strip():
        return f"exit status {outcome.status} without a message"
    if "Traceback" in outcome.message:
        return "a traceback is printed"
    after = _snapshot(folder)
    changed = [
        name
        for name, digest in before.items()
        if after.get(name) != digest and Path(name).name not in (*trial.may_change, LOCK)
    ]
    if changed:
        return f"an input was changed: {changed[0]}"
    new = [folder / name for name in after if name not in before]
    stray = [p for p in new if not any(p == out or out in p.parents for out in trial.out)]
    if stray:
        return f"an unnamed file was written: {stray[0].relative_to(folder)}"
    parts = [p for p in new if p.name.endswith(".part") and trial.argv]
    if parts:
        return f"a part was left: {parts[0].name}"
    for path in new:
        if path.suffix == ".json":
            try:
                json.loads(path.read_bytes())
            except ValueError:
                return f"half-written: {path.name}"
    return ""


def _snapshot(folder: Path) -> dict[str, str]:
    """Return the digests of all files by path; folders and links by what they are."""
    result = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            result[name] = str(path.readlink())
        elif path.is_file():
            result[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return result


def _origin(error: BaseException) -> str:
    """Return the type of an exception and the innermost line of mitotype that it passed."""
    frames = [
        f"{Path(f.filename).name}:{f.lineno} {f.name}"
        for f in traceback.extract_tb(error.__traceback__)
        if "/mitotype/" in f.filename
    ]
    return f"{type(error).__name__} at {frames[-1] if frames else '?'}: {str(error)[:200]}"


def _memory(field: str) -> int:
    """Return a line of /proc/self/status in KiB, 0 on other systems."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _reset_peak() -> int:
    """Start a new peak of resident memory and return the present one, in KiB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def serve(material: Path, scratch: Path) -> None:
    torch.set_num_threads(1)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if size := _memory("VmSize"):
        limit = size * 1024 + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        kind, seed = line.split()
        print(json.dumps(asdict(run(kind, int(seed), material, scratch))), file=replies, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
