"""Crew: work done side by side, each piece in a process of its own; small nets do not scale over threads."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core.mistakes import Mistake

if TYPE_CHECKING:
    from mitotype.fit.run import Job

LOOK_EVERY_S = 0.5
LOG = "log.jsonl"


def train(folder: Path, jobs: Sequence[Job], workers: int, told: Callable[[dict[str, Any]], None]) -> None:
    """Train the jobs of a run with `workers` processes; none is started for a member that is whole.

    Every member follows from its own seed and thread count, so the number of workers changes no bit.
    """
    calls = [
        (folder, job, {"job": number, "jobs": len(jobs)})
        for number, job in enumerate(jobs, 1)
        if not whole(folder, job)
    ]
    for _ in side_by_side(_one, calls, workers, Tail([folder / LOG]), told):
        pass


def whole(folder: Path, job: Job) -> bool:
    """Whether a member and its out-of-fold rows are there."""
    from mitotype.scores import table

    member = folder / "members" / job.name / "member.json"
    return member.is_file() and (not job.fold or table.has(folder, member=job.name))


def side_by_side(
    work: Callable[..., None],
    calls: Sequence[tuple[Any, ...]],
    workers: int,
    said: Tail,
    told: Callable[[dict[str, Any]], None],
) -> Iterator[int]:
    """`work(*call)` for every call, `workers` at once; the number of each call is yielded when it has ended.

    What they log is told here; the first one that fails stops all. `work` is a plain function of a module, since it travels by
    its name.
    """
    if not calls:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_watch, initargs=(os.getpid(),)) as pool:
        number = {pool.submit(work, *call): place for place, call in enumerate(calls)}
        left = set(number)
        try:
            while left:
                ended, left = wait(left, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                for line in said.lines():
                    told(line)
                for future in ended:
                    _outcome(future)
                    yield number[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _outcome(future: Future[None]) -> None:
    """Nothing, or what a worker raised; one that ended without a word is a Mistake."""
    try:
        future.result()
    except BrokenProcessPool as error:
        what = "A worker was killed, most likely for want of memory."
        raise Mistake(what, fix="use fewer workers or a smaller batch; what was finished is kept") from error


def _one(folder: Path, job: Job, place: dict[str, Any]) -> None:
    from mitotype.fit import member

    member.one(folder, job, place)


def _watch(parent: int) -> None:
    """End this process when its parent is gone: a killed run leaves nobody who writes into its folder."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


class Tail:
    """What is new at the end of files of JSON lines since they were last looked at."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.place = {path: path.stat().st_size if path.is_file() else 0 for path in paths}

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for path, place in self.place.items():
            if not path.is_file():
                continue
            with path.open("rb") as file:
                file.seek(place)
                fresh = file.read().rpartition(b"\n")[0]
            self.place[path] += len(fresh) + bool(fresh)
            found += [json.loads(line) for line in fresh.splitlines()]
        return found
