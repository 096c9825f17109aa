"""Crew: members trained side by side, each in a process of its own; small nets do not scale over threads."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mitotype.fit.run import Job

LOOK_EVERY_S = 0.5


def train(folder: Path, jobs: Sequence[Job], workers: int, told: Callable[[dict[str, Any]], None]) -> None:
    """Train the jobs of a run with `workers` processes. What they log is told here; the first one that fails stops all.

    Every member follows from its own seed and thread count, so the number of workers changes no bit.
    """
    context = multiprocessing.get_context("spawn")
    said = _Tail(folder / "log.jsonl")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_watch, initargs=(os.getpid(),)) as pool:
        left = {pool.submit(_one, folder, job, number, len(jobs)) for number, job in enumerate(jobs, 1)}
        try:
            while left:
                done, left = wait(left, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                for line in said.lines():
                    told(line)
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _one(folder: Path, job: Job, number: int, jobs: int) -> None:
    from mitotype.fit import run

    run.one(folder, job, {"job": number, "jobs": jobs})


def _watch(parent: int) -> None:
    """End this process when its parent is gone: a killed run leaves nobody who writes into its folder."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


class _Tail:
    """What is new at the end of a file of JSON lines since it was last looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = path.stat().st_size if path.is_file() else 0

    def lines(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self.place)
            whole = file.read().rpartition(b"\n")[0]
        self.place += len(whole) + bool(whole)
        return [json.loads(line) for line in whole.splitlines()]
