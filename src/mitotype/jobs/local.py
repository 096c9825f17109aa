"""Run calls in this process or in a pool of processes: small networks gain nothing from more than one thread."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

from mitotype.core.errors import UserError
from mitotype.jobs.task import Callbacks, OnLog, Task, log_files

POLL_S = 0.5
Call = tuple[Callable[..., None], tuple[Any, ...]]


def run_local(tasks: Sequence[Task], workers: int, callbacks: Callbacks) -> Generator[tuple[Task, UserError | None]]:
    """Run tasks, `workers` at once, and yield each with the UserError that it raised. On a GPU one runs at a time.

    After an error the remaining tasks of its group are yielded without being run.
    """
    failed: set[Path] = set()
    on_cpu = all(task.resources.device == "cpu" for task in tasks)
    if on_cpu and min(workers, len(tasks)) > 1:
        calls = [(task.function, task.args) for task in tasks]
        follower = LogFollower(log_files(tasks))
        outcomes = _in_pool(calls, workers, follower, callbacks.on_log, skip=lambda i: tasks[i].group in failed)
    else:
        outcomes = _in_process(tasks, callbacks.on_log, failed)
    with closing(outcomes):
        for i, error in outcomes:
            if error:
                failed.add(tasks[i].group)
            yield tasks[i], error


def run_parallel(
    function: Callable[..., None],
    calls: Sequence[tuple[Any, ...]],
    workers: int,
    log_follower: LogFollower,
    on_log: OnLog,
) -> Iterator[int]:
    """Run `function(*call)` for every call in `workers` processes and yield the index of each call that has ended.

    `function` is one of a module, since it travels by its name. `on_log` receives what the followed log files gain. The first
    error ends all calls and is raised.
    """
    with closing(_in_pool([(function, call) for call in calls], workers, log_follower, on_log)) as outcomes:
        for i, error in outcomes:
            if error:
                raise error
            yield i


def _in_process(tasks: Sequence[Task], on_log: OnLog, failed: set[Path]) -> Generator[tuple[int, UserError | None]]:
    for i, task in enumerate(tasks):
        error = None
        if task.group not in failed:
            try:
                task.function(*task.args, on_log)
            except UserError as raised:
                error = raised
        yield i, error


def _in_pool(
    calls: Sequence[Call],
    workers: int,
    log_follower: LogFollower,
    on_log: OnLog,
    skip: Callable[[int], bool] = lambda i: False,
) -> Generator[tuple[int, UserError | None]]:
    """Yield the index of every call and its UserError. A call is submitted when a worker is free, unless `skip(index)`."""
    waiting, running = deque(enumerate(calls)), dict[Future[None], int]()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_exit_with_parent, initargs=(os.getpid(),)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    i, (function, args) = waiting.popleft()
                    if skip(i):
                        yield i, None
                    else:
                        running[pool.submit(function, *args)] = i
                ended, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for line in log_follower.new_lines():
                    on_log(line)
                for future in ended:
                    yield running.pop(future), _user_error(future)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _user_error(future: Future[None]) -> UserError | None:
    """Return the UserError that a call raised. A killed worker raises one, since it ends the whole pool."""
    try:
        future.result()
    except UserError as error:
        return error
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process was killed, most likely because memory ran out.",
            fix="use fewer workers or a smaller batch; finished members are not trained again",
        ) from error
    return None


def _exit_with_parent(parent: int) -> None:
    """End this process when its parent is gone, so that nothing writes into the folders of a killed command."""

    def poll() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=poll, daemon=True).start()


class LogFollower:
    """Reads the lines that files of JSON lines gain."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.offsets = {path: path.stat().st_size if path.is_file() else 0 for path in paths}

    def new_lines(self) -> list[dict[str, Any]]:
        """Return the complete lines since the last call."""
        lines = []
        for path, offset in self.offsets.items():
            if not path.is_file():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                raw = file.read().rpartition(b"\n")[0]
            self.offsets[path] += len(raw) + bool(raw)
            lines += [json.loads(line) for line in raw.splitlines()]
        return lines
