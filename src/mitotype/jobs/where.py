"""Where: jobs run here, side by side or in turn, or on Ray, one device each; the same function does them in both places."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.fit import crew
from mitotype.fit.run import Job, Told

HERE, RAY = "here", "ray"
PLACES = "here, ray, ray://HOST:PORT, HOST:PORT"
ANSWER_S = 10.0  # in which a cluster takes a connection
RETRIES = 3  # of a job whose worker was killed
CARRIED = ("HF_HOME", "HF_HUB_OFFLINE", "XDG_CACHE_HOME")  # of the environment, to the workers of a cluster
STORE_BYTES = 100 * 2**20  # of Ray's object store: the jobs exchange nothing but their names
Done = Callable[[int], None]
Work = Callable[..., None]
Outcome = tuple["Task", Mistake | None]


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


@dataclass(frozen=True)
class Ended:
    """A run of which every task has ended; `mistake` is why one of them failed, None where its members are whole."""

    folder: Path
    mistake: Mistake | None = None


def train(task: Task, told: Told = lambda line: None) -> None:
    """Train one member unless it is whole. Doing it twice changes nothing."""
    from mitotype.fit import member

    member.one(task.folder, task.job, task.place, told)


def run(tasks: Sequence[Task], place: str, workers: int, listener: Listener, *, work: Work = train) -> Generator[Ended]:
    """Do the tasks at `place` ("here", "ray", or the address of a cluster) and yield each run when its last task has ended.

    A Mistake in a task ends its run and no other; a task of that run that has not begun is not begun.
    """
    left = Counter(task.folder for task in tasks)
    failed: dict[Path, Mistake] = {}
    with ExitStack() as stack:
        locks = {folder: stack.enter_context(ExitStack()) for folder in left}
        for folder, lock in locks.items():
            lock.enter_context(files.locked(folder / ".lock"))
        by = here(tasks, workers, listener, work) if place == HERE else on_ray(tasks, place, workers, listener, work)
        for task, mistake in stack.enter_context(closing(by)):
            listener.done(1)
            if mistake:
                failed.setdefault(task.folder, mistake)
            left[task.folder] -= 1
            if not left[task.folder]:
                locks[task.folder].close()
                yield Ended(task.folder, failed.get(task.folder))


def here(tasks: Sequence[Task], workers: int, listener: Listener, work: Work) -> Generator[Outcome]:
    """On a CPU the members of all runs side by side, so that no worker waits for the last member of a run; on a GPU in turn.

    `workers` of 0 is what run.json says.
    """
    if not tasks:
        return
    told = [files.read_json(folder / "run.json", what="run") for folder in _folders(tasks)]
    on_cpu = all(run["device"] == "cpu" for run in told)
    at_once = min(workers or max(run["workers"] for run in told), len(tasks)) if on_cpu else 1
    with TemporaryDirectory(ignore_cleanup_errors=True) as notes:
        noting = functools.partial(_noting, work, Path(notes))
        with closing(_ended(tasks, at_once, listener, noting)) as ended:
            for number in ended:
                yield tasks[number], _noted(Path(notes), tasks[number].folder)


def _ended(tasks: Sequence[Task], at_once: int, listener: Listener, work: Work) -> Generator[int]:
    """The number of every task when it has ended."""
    if at_once > 1:
        yield from crew.side_by_side(work, [(task,) for task in tasks], at_once, _tail(tasks), listener.told)
        return
    for number, task in enumerate(tasks):
        work(task, listener.told)
        yield number


def _noting(work: Work, notes: Path, task: Task, told: Told = lambda line: None) -> None:
    """Do a task. A Mistake in it is written into the folder `notes`, and the later tasks of its run are passed over."""
    note = _note(notes, task.folder)
    if note.is_file():
        return
    try:
        work(task, told)
    except Mistake as mistake:
        files.write_json(note, vars(mistake))


def _noted(notes: Path, folder: Path) -> Mistake | None:
    note = _note(notes, folder)
    if not note.is_file():
        return None
    told = files.read_json(note)
    return Mistake(told["what"], **{key: told[key] for key in ("nearest", "allowed", "fix", "code")})


def _note(notes: Path, folder: Path) -> Path:
    return notes / f"{files.digest_of(str(folder))}.json"


def _folders(tasks: Sequence[Task]) -> list[Path]:
    return list(dict.fromkeys(task.folder for task in tasks))


def _tail(tasks: Sequence[Task]) -> crew.Tail:
    return crew.Tail([folder / crew.LOG for folder in _folders(tasks)])


def on_ray(tasks: Sequence[Task], address: str, workers: int, listener: Listener, work: Work) -> Generator[Outcome]:
    """All tasks on Ray, one device each. A job whose worker is killed is done again.

    `address` is "ray" (a cluster on this machine with processors for `workers` jobs at once, shut down at the end) or that of
    a cluster whose nodes see the same folders and have this package.
    """
    if not tasks:
        return
    threads = max(int(files.read_json(folder / "run.json", what="run")["threads"]) for folder in _folders(tasks))
    with _cluster(address, workers * threads):
        yield from _all(tasks, listener, work)


def _all(tasks: Sequence[Task], listener: Listener, work: Work) -> Generator[Outcome]:
    import ray

    need = functools.cache(_needs)
    said = _tail(tasks)
    remote: Any = ray.remote(work)
    left = {remote.options(max_retries=RETRIES, **need(task.folder)).remote(task): task for task in tasks}
    try:
        while left:
            ended, _ = ray.wait(list(left), num_returns=1, timeout=crew.LOOK_EVERY_S)
            for line in said.lines():
                listener.told(line)
            for one in ended:
                task = left.pop(one)
                mistake = _settle(one, task)
                if mistake:
                    _cancel([other for other in left if left[other].folder == task.folder], force=False)
                yield task, mistake
    except BaseException:
        _cancel(list(left), force=True)
        raise


def _cancel(jobs: Sequence[Any], *, force: bool) -> None:
    import ray

    for job in jobs:
        with contextlib.suppress(Exception):
            ray.cancel(job, force=force)


def _settle(ended: Any, task: Task) -> Mistake | None:
    """The Mistake that a job raised, or one that tells of a worker that died again and again. A job that was cancelled
    belongs to a run that has one."""
    import ray
    from ray import exceptions

    try:
        ray.get(ended)
    except exceptions.TaskCancelledError:
        return None
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, Mistake):
            return error.cause
        raise
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.NodeDiedError):
        what = f"The worker of '{task.job.name}' of '{task.folder.name}' died {RETRIES + 1} times."
        fix = "most likely memory ran out: fewer at once with --workers; a smaller batch is another benchmark: --set batch=… --out …"
        return Mistake(what, fix=fix)
    return None


def _needs(folder: Path) -> dict[str, float]:
    """What a run's job takes of the cluster: a GPU, or as many processors as it has threads, if a node has as many."""
    from mitotype.features import features

    told = files.read_json(folder / "run.json", what="run")
    if told["device"] == "cpu" or told["recipe"]["backbone"] in features:  # a feature's head is solved on processors
        return {"num_cpus": max(1.0, min(float(told["threads"]), max(node.get("CPU", 0) for node in _nodes())))}
    _check_device(told["device"])
    if not _has_gpu():
        raise _no_gpu()
    return {"num_cpus": 1, "num_gpus": 1}


def _nodes() -> list[dict[str, float]]:
    """The resources of every node that answers."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _has_gpu() -> bool:
    return any(node.get("GPU", 0) >= 1 for node in _nodes())


def _no_gpu() -> Mistake:
    return Mistake(
        "No node of this Ray cluster has a GPU.", fix="add one, or train on processors: --device cpu --out …"
    )


def _check_device(device: str) -> None:
    if device not in ("auto", "cpu", "cuda"):
        raise Mistake(f"On Ray a job cannot choose the device '{device}'.", allowed="auto, cpu, cuda")


def device(place: str, wanted: str) -> str:
    """The device of what is trained at `place`. The nodes of a cluster need not be like this machine, so it is asked itself.

    Raises a Mistake for a GPU that is asked for and absent.
    """
    from mitotype.fit import machine

    if place != HERE:
        _check_device(wanted)
    own = place == HERE or (place == RAY and not _imported().is_initialized())
    if own or wanted == "cpu":
        return machine.choose(wanted)
    with _cluster(place, 0):
        gpu = _has_gpu()
    if wanted == "cuda" and not gpu:
        raise _no_gpu()
    return "cuda" if gpu else "cpu"


@contextmanager
def _cluster(address: str, processors: int) -> Iterator[None]:
    """A cluster to work on; one that is started here has `processors`, 0: all. One that this process uses already is taken
    as it is and left as it was."""
    ray = _imported()
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == RAY:
        import torch

        own = {"num_cpus": processors or None, "num_gpus": torch.cuda.device_count(), "include_dashboard": False}
        ray.init("local", object_store_memory=STORE_BYTES, **own, **quiet)
    else:
        try:
            ray.init(address, runtime_env={"env_vars": _carried()}, **quiet)
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


def _carried() -> dict[str, str]:
    """Where weights and caches lie: workers of a cluster have the environment in which its nodes were started."""
    return {name: os.environ[name] for name in CARRIED if name in os.environ}


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
