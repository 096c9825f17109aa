"""Commands that are run as processes, killed or interrupted at a moment, and repeated; and what they are compared by."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import psutil
from PIL import Image

from mitotype.core.run_layout import names
from tests import synthetic_cohort
from tests.robustness import preloaded

SETTINGS = ("--set", "folds=2", "epochs=2", "batch=8", "precision=fp32", "n_final_models=1")
CONTEXT = multiprocessing.get_context("forkserver")  # imports once, and forks for every command
VOLATILE = {"date", "started", "finished", "created"}
Summary = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command in a folder: its arguments, those that continue it, and what of its output is compared.

    `accepted` is what a reader gets from the output; it raises where the output is absent or refused. `setup` prepares the
    folder, `prepare` the process.
    """

    args: Sequence[str]
    summary: Summary
    accepted: Summary = lambda folder: {}
    again: Sequence[str] = ()
    prepare: Callable[[], None] | None = None
    setup: Callable[[Path], None] = lambda folder: None


@dataclass(frozen=True)
class Ended:
    """A process that ended: its status (negative: the signal that killed it), what it printed, and its children that live."""

    status: int
    out: str
    err: str
    seconds: float
    survivors: int = 0


def run(
    command: Command, folder: Path, args: Sequence[str], *, at_s: float | None = None, number: int = signal.SIGKILL
) -> Ended:
    """Run a command in `folder` in a process of its own; send the signal `number` after `at_s` seconds of it."""
    CONTEXT.set_forkserver_preload([preloaded.__name__])
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    arguments = (list(args), folder, command.prepare, dict(os.environ))
    process = CONTEXT.Process(target=preloaded.run_command, args=arguments)
    process.start()
    while process.is_alive() and not ready.exists():
        time.sleep(0.01)
    started = time.monotonic()
    process.join(at_s)
    children: list[psutil.Process] = []
    if process.is_alive() and process.pid:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it may end between two lines
            children = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, number)
    process.join(120)
    survivors = len(psutil.wait_procs(children, timeout=20)[1])
    out, err = (
        path.read_text(errors="replace") if path.is_file() else "" for path in (folder / "stdout", folder / "stderr")
    )
    return Ended(
        process.exitcode if process.exitcode is not None else 999, out, err, time.monotonic() - started, survivors
    )


def write_images(folder: Path, count: int, seed: int) -> None:
    """Write a labelled csv of `count` images, two of a case."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        Image.fromarray(synthetic_cohort.synthetic_image(i % 2, rng)).save(folder / f"{i}.png")
        rows.append({"path": f"{i}.png", "label": ("normal", "atypical")[i % 2], "case_id": f"{seed}-{i // 2}"})
    pd.DataFrame(rows).to_csv(folder / f"own{seed}.csv", index=False)


def leftovers(folder: Path) -> list[str]:
    """Return the temporary files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.part*"))


# what is compared


def of_files(*patterns: str) -> Summary:
    """Return the comparison of the bytes of files; days and times in JSON are left out."""

    def summary(folder: Path) -> object:
        paths = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
        return {str(path.relative_to(folder)): _content(path) for path in paths}

    return summary


def of_run(pattern: str) -> Summary:
    """Return the comparison of runs: their rows, members, decision, log and ledger."""
    names_ = (
        names.DECISION,
        names.OOD,
        f"{names.MEMBERS}/*/*",
        names.LOG,
        names.LEDGER,
        names.SCORES,
        names.RUN,
        names.DONE,
    )
    return of_files(*(f"{pattern}/{name}" for name in names_))


def _content(path: Path) -> object:
    if path.suffix == ".parquet":
        table = pd.read_parquet(path).drop(columns="path", errors="ignore")
        return (
            table.astype(dict.fromkeys(table.columns[:4], str)).sort_values(list(table.columns[:4])).to_csv(index=False)
        )
    if path.name == names.DONE:
        return True
    if path.suffix == ".jsonl":
        lines = [_undated(msgspec.json.decode(line)) for line in path.read_bytes().splitlines()]
        return sorted(str(line) for line in lines)
    if path.suffix == ".json":
        return _undated(msgspec.json.decode(path.read_bytes()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _undated(value: object) -> object:
    if isinstance(value, dict):
        return {key: _undated(item) for key, item in value.items() if key not in VOLATILE}
    return [_undated(item) for item in value] if isinstance(value, list) else value
