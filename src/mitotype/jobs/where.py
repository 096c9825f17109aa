"""Where: jobs run here, side by side or in turn, or on Ray, one device each; the same function does them in both places."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.fit import crew
from mitotype.fit.run import Job, Told

HERE, RAY = "here", "ray"
PLACES = "here, ray, ray://HOST:PORT, HOST:PORT"
ANSWER_S = 10.0  # in which a cluster takes a connection
RETRIES = 3  # of a job whose worker was killed
STORE_BYTES = 100 * 2**20  # of Ray's object store: the jobs exchange nothing but their names
Done = Callable[[int], None]
Work = Callable[..., None]


@dataclass(frozen=True)
class Task:
    """One member to train: the folder of its run, its job, and the words that its lines in the log begin with."""

    folder: Path
    job: Job
    place: dict[str, Any]


@dataclass(frozen=True)
class Listener:
    """Who is told what the jobs log, and how many more have ended."""

    told: Told = lambda line: None
    done: Done = lambda more: None


def train(task: Task, told: Told = lambda line: None) -> None:
    """Train one member unless it is whole. Doing it twice changes nothing."""
    from mitotype.fit import member

    member.one(task.folder, task.job, task.place, told)


def run(tasks: Sequence[Task], place: str, workers: int, listener: Listener, *, work: Work = train) -> Generator[Path]:
    """Do the tasks at `place` ("here", "ray", or the address of a cluster) and yield each run's folder when it is done."""
    if place == HERE:
        return here(tasks, workers, listener, work=work)
    return on_ray(tasks, place, workers, listener, work=work)


def here(tasks: Sequence[Task], workers: int, listener: Listener, *, work: Work = train) -> Generator[Path]:
    """On a CPU the members of all runs side by side, so that no worker waits for the last member of a run; on a GPU in turn.

    `workers` of 0 is what run.json says.
    """
    if not tasks:
        return
    folders = list(dict.fromkeys(task.folder for task in tasks))
    told = files.read_json(folders[0] / "run.json", what="run")
    at_once = min(workers or told["workers"], len(tasks)) if told["device"] == "cpu" else 1
    left = Counter(task.folder for task in tasks)
    with ExitStack() as stack:
        locks = {folder: stack.enter_context(ExitStack()) for folder in folders}
        for folder, lock in locks.items():
            lock.enter_context(files.locked(folder / ".lock"))
        for number in _ended(tasks, at_once, listener, work):
            listener.done(1)
            folder = tasks[number].folder
            left[folder] -= 1
            if not left[folder]:
                locks[folder].close()
                yield folder


def _ended(tasks: Sequence[Task], at_once: int, listener: Listener, work: Work) -> Iterator[int]:
    """The number of every task when it has ended."""
    if at_once > 1:
        said = crew.Tail([folder / crew.LOG for folder in dict.fromkeys(task.folder for task in tasks)])
        yield from crew.side_by_side(work, [(task,) for task in tasks], at_once, said, listener.told)
        return
    for number, task in enumerate(tasks):
        work(task, listener.told)
        yield number


def on_ray(
    tasks: Sequence[Task], address: str, workers: int, listener: Listener, *, work: Work = train
) -> Generator[Path]:
    """All tasks on Ray, one device each. A job whose worker is killed is done again; a Mistake in one stops them all.

    `address` is "ray" (a cluster on this machine with `workers` processors, shut down at the end) or that of a cluster
    whose nodes see the same folders and have this package.
    """
    folders = list(dict.fromkeys(task.folder for task in tasks))
    if not tasks:
        return
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(files.locked(folder / ".lock"))
        stack.enter_context(_cluster(address, workers))
        _all(tasks, listener, work)
    yield from folders


def _all(tasks: Sequence[Task], listener: Listener, work: Work) -> None:
    import ray

    need = functools.cache(_needs)
    said = crew.Tail([folder / crew.LOG for folder in dict.fromkeys(task.folder for task in tasks)])
    remote: Any = ray.remote(work)
    left = {remote.options(max_retries=RETRIES, **need(task.folder)).remote(task): task for task in tasks}
    try:
        while left:
            ended, _ = ray.wait(list(left), num_returns=1, timeout=crew.LOOK_EVERY_S)
            for line in said.lines():
                listener.told(line)
            for one in ended:
                _settle(one, left.pop(one))
                listener.done(1)
    except BaseException:
        for one in left:
            with contextlib.suppress(Exception):
                ray.cancel(one, force=True)
        raise


def _settle(ended: Any, task: Task) -> None:
    """Raise what a job raised: a Mistake as itself, a worker that died again and again as one."""
    import ray
    from ray import exceptions

    try:
        ray.get(ended)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, Mistake):
            raise error.cause from None
        raise
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.NodeDiedError) as error:
        what = f"The worker of '{task.job.name}' of '{task.folder.name}' died {RETRIES + 1} times."
        fix = "most likely memory ran out: fewer at once with --workers, or --set batch=…; the same command goes on"
        raise Mistake(what, fix=fix) from error


def _needs(folder: Path) -> dict[str, float]:
    """What a run's job takes of the cluster: a GPU, or as many processors as it has threads, if a node has as many."""
    import ray

    told = files.read_json(folder / "run.json", what="run")
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if told["device"] == "cpu":
        return {"num_cpus": max(1.0, min(float(told["threads"]), max(node.get("CPU", 0) for node in nodes)))}
    if told["device"] != "cuda":
        raise Mistake(f"On Ray a job cannot choose the device '{told['device']}'.", allowed="auto, cpu, cuda")
    if not any(node.get("GPU", 0) >= 1 for node in nodes):
        raise Mistake("No node of this Ray cluster has a GPU.", fix="train on processors: --device cpu")
    return {"num_cpus": 1, "num_gpus": 1}


@contextmanager
def _cluster(address: str, workers: int) -> Iterator[None]:
    """A cluster to work on. One that this process uses already is taken as it is and left as it was."""
    ray = _imported()
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == RAY:
        import torch

        own = {"num_cpus": workers or None, "num_gpus": torch.cuda.device_count(), "include_dashboard": False}
        ray.init("local", object_store_memory=STORE_BYTES, **own, **quiet)
    else:
        try:
            ray.init(address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            said = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            what = f"The Ray cluster at '{address}' is not to be had: {' … '.join(dict.fromkeys([said[0], said[-1]]))}."
            raise Mistake(
                what, fix="see that it runs, that versions agree, and that RAY_AUTH_TOKEN is its own"
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise Mistake("Ray is not installed.", fix='pip install "mitotype[ray]"') from error
    return ray


def check(place: str) -> None:
    """Raise a Mistake for a place where nothing can run, or where nobody answers."""
    if place == HERE:
        return
    host, colon, port = place.removeprefix("ray://").rpartition(":")
    if place != RAY and not (colon and port.isdigit()):
        raise Mistake(f"'{place}' is no place to run at.", allowed=PLACES)
    _imported()
    if place == RAY:
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise Mistake(f"Nobody answers at '{place}': {error}.", allowed=PLACES) from error
