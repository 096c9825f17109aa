"""Run tasks on a backend: "local", "ray" (a cluster on this machine) or the address of a Ray cluster."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from mitotype.core.errors import UserError
from mitotype.core.folder_lock import exclusive
from mitotype.jobs.local import run_local
from mitotype.jobs.on_ray import RAY, import_ray, run_on_ray
from mitotype.jobs.task import Callbacks, GroupFinished, Task

LOCAL = "local"
BACKENDS = "local, ray, ray://HOST:PORT, HOST:PORT"
CONNECT_TIMEOUT_S = 10.0


def run(
    tasks: Sequence[Task],
    backend: str = LOCAL,
    workers: int = 1,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 (frozen)
) -> Generator[GroupFinished]:
    """Run tasks, `workers` at once, and yield each group when its last task has ended; its folder is locked until then.

    A UserError in a task ends its group and no other. On Ray 0 workers means as many as the cluster has processors for.
    """
    n_left = Counter(task.group for task in tasks)
    failed: dict[Path, UserError] = {}
    with ExitStack() as stack:
        locks = {group: stack.enter_context(ExitStack()) for group in n_left}
        for group, lock in locks.items():
            lock.enter_context(exclusive(group))
        if backend == LOCAL:  # noqa: SIM108
            outcomes = run_local(tasks, workers, callbacks)
        else:
            outcomes = run_on_ray(tasks, backend, workers, callbacks)
        for task, error in stack.enter_context(closing(outcomes)):
            callbacks.on_done(1)
            if error:
                failed.setdefault(task.group, error)
            n_left[task.group] -= 1
            if not n_left[task.group]:
                locks[task.group].close()
                yield GroupFinished(task.group, failed.get(task.group))


def check_backend(backend: str) -> None:
    """Raise a UserError for an unknown backend, one that is not installed, and a cluster that does not answer."""
    if backend == LOCAL:
        return
    host, colon, port = backend.removeprefix("ray://").rpartition(":")
    if backend != RAY and not (colon and port.isdigit()):
        raise UserError(f"'{backend}' is not a backend.", allowed=BACKENDS)
    import_ray()
    if backend == RAY:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"No Ray cluster answers at '{backend}': {error}.", allowed=BACKENDS) from error
