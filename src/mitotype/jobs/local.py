"""Run tasks in this process or in a pool of processes: small networks gain nothing from more than one thread."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mitotype.core import interrupts, plugins, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, OnLog, names
from mitotype.jobs.task import Callbacks, Task

POLL_S = 0.5
Outcomes = Generator[tuple[Task, UserError | None]]


def run_local(tasks: Sequence[Task], workers: int, callbacks: Callbacks) -> Outcomes:
    """Run tasks, `workers` at once, and yield each with the UserError that it raised. On a GPU one runs at a time.

    After an error the remaining tasks of its group are yielded without being run.
    """
    on_cpu = all(task.resources.device == "cpu" for task in tasks)
    if on_cpu and min(workers, len(tasks)) > 1:
        return _in_pool(tasks, workers, callbacks.on_log)
    return _in_process(tasks, callbacks.on_log)


def _in_process(tasks: Sequence[Task], on_log: OnLog) -> Outcomes:
    failed: set[Path] = set()
    for task in tasks:
        error = None
        if task.group not in failed:
            try:
                task.function(*task.args, on_log)
            except UserError as raised:
                error = raised
                failed.add(task.group)
        yield task, error


def _in_pool(tasks: Sequence[Task], workers: int, on_log: OnLog) -> Outcomes:
    """Submit a task when a worker is free, unless its group has failed."""
    waiting, running, failed = deque(tasks), dict[Future[None], Task](), set[Path]()
    log_follower = LogFollower(tasks)
    context = multiprocessing.get_context("spawn")
    plugin_paths = [plugin.path for plugin in plugins.loaded()]
    with ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(), plugin_paths)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    task = waiting.popleft()
                    if task.group in failed:
                        yield task, None
                    else:
                        with interrupts.held_back():
                            running[pool.submit(task.function, *task.args)] = task
                ended, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                log_follower.forward(on_log)
                for future in ended:
                    task, error = running.pop(future), _user_error(future)
                    if error:
                        failed.add(task.group)
                    yield task, error
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


def _start_worker(parent: int, plugin_paths: Sequence[Path]) -> None:
    """Load the plugins of the parent, and end this process when the parent is gone: a killed command writes nothing more."""
    plugins.load_all(plugin_paths)

    def poll() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=poll, daemon=True).start()


class LogFollower:
    """Reads the lines that the logs of the tasks' groups gain."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.offsets = {task.group / names.LOG: 0 for task in tasks}
        for path in self.offsets:
            self._new_lines(path)

    def forward(self, on_log: OnLog) -> None:
        """Pass on the complete lines since the last call."""
        for path in self.offsets:
            for line in self._new_lines(path):
                on_log(records.decode(line, LogLine, f"A line of the log '{path}'"))

    def _new_lines(self, path: Path) -> list[bytes]:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(self.offsets[path])
            raw = file.read().rpartition(b"\n")[0]
        self.offsets[path] += len(raw) + bool(raw)
        return raw.splitlines()
