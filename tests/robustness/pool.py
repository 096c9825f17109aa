"""Run trials in a worker process that is started again when it dies, hangs or has grown."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.robustness.worker import Outcome

ROOT = Path(__file__).parents[2]
KILL_AFTER_S = 60.0
MAX_S, MAX_MB = 20.0, 2048.0
PER_PROCESS = 400  # trials


def run_trials(trials: Iterable[tuple[str, int]], material: Path, scratch: Path) -> Iterator[Outcome]:
    """Yield the outcome of every (kind, seed). A worker that dies or answers after KILL_AFTER_S is an outcome too."""
    process, count = None, 0
    for kind, seed in trials:
        if process is None or count >= PER_PROCESS:
            _stop(process)
            process, count = _start(material, scratch), 0
        line = _request(process, f"{kind} {seed}\n", KILL_AFTER_S if count else 3 * KILL_AFTER_S)
        count += 1
        if line is None or not line.strip():
            status = _stop(process)
            error = "no end within a minute" if line is None else f"the process died with status {status}"
            process = None
            yield Outcome(kind, seed, status=99, error=error, seconds=KILL_AFTER_S if line is None else 0)
            continue
        outcome = Outcome(**json.loads(line))
        if not outcome.error and outcome.seconds > MAX_S:
            outcome.error = f"{outcome.seconds:.0f} s"
        if not outcome.error and outcome.peak_mb > MAX_MB:
            outcome.error = f"{outcome.peak_mb:.0f} MB"
        yield outcome
    _stop(process)


def _start(material: Path, scratch: Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "HOME": str(scratch), "MPLBACKEND": "agg",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.robustness.worker", str(material), str(scratch)]
    with (scratch / "worker.log").open("a") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=environment
        )


def _request(process: subprocess.Popen[str], line: str, seconds: float) -> str | None:
    """Return the reply to a line, "" where the process ended, None where there is none in time."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(seconds) else None


def _stop(process: subprocess.Popen[str] | None) -> int | None:
    """End a worker and return the status with which it had ended on its own, else that of the kill."""
    if process is None:
        return None
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=10)  # closes its input: one that lives ends
    process.kill()
    process.communicate()
    return process.returncode
