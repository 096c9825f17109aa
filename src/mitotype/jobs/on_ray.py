"""Run tasks on a Ray cluster, one device each. Ray is imported when it is used."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mitotype.core import plugins
from mitotype.core.errors import UserError
from mitotype.jobs.local import POLL_S, LogFollower, Outcomes
from mitotype.jobs.task import Callbacks, Resources, Task

RAY = "ray"
MAX_RETRIES = 3  # of a task whose worker was killed
FORWARDED_ENV = ("HF_HOME", "HF_HUB_OFFLINE", "XDG_CACHE_HOME")  # where workers of a cluster find weights and caches
OBJECT_STORE_BYTES = 100 * 2**20  # tasks exchange only their arguments


def run_on_ray(tasks: Sequence[Task], address: str, workers: int, callbacks: Callbacks) -> Outcomes:
    """Run tasks and yield each with the UserError that it raised. A task whose worker is killed is run again.

    `address` is "ray" (a cluster on this machine with processors for `workers` tasks at once, shut down at the end) or that
    of a cluster whose nodes see the same folders and have this package installed.
    """
    if tasks:
        threads = max(task.resources.threads for task in tasks)
        with _cluster(address, workers * threads):
            yield from _outcomes(tasks, callbacks)


def starts_cluster(address: str) -> bool:
    """Return whether `run_on_ray` starts a cluster on this machine, since this process is connected to none."""
    return address == RAY and not import_ray().is_initialized()


def cluster_device(address: str, device: str) -> str:
    """Return "cuda" if a node of the cluster has a GPU, else "cpu". Raises a UserError if "cuda" is requested and absent."""
    with _cluster(address, 0):
        has_gpu = _has_gpu()
    if device == "cuda" and not has_gpu:
        raise _no_gpu()
    return "cuda" if has_gpu else "cpu"


def check_device(device: str) -> None:
    """Raise a UserError for a device that Ray does not assign."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"The device '{device}' cannot be chosen on Ray.", allowed="auto, cpu, cuda")


def import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed.", fix='pip install "mitotype[ray]"') from error
    return ray


def _outcomes(tasks: Sequence[Task], callbacks: Callbacks) -> Outcomes:
    ray = import_ray()
    options = functools.cache(_options)
    log_follower = LogFollower(tasks)
    plugin_paths = [plugin.path for plugin in plugins.loaded()]
    running = {
        ray.remote(_call)
        .options(max_retries=MAX_RETRIES, **options(task.resources))
        .remote(plugin_paths, task.function, task.args): task
        for task in tasks
    }
    try:
        while running:
            ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
            log_follower.forward(callbacks.on_log)
            for ref in ended:
                task = running.pop(ref)
                error = _user_error(ref, task)
                if error:
                    _cancel((other for other in running if running[other].group == task.group), force=False)
                yield task, error
    except BaseException:
        _cancel(running, force=True)
        raise


def _call(plugin_paths: Sequence[Path], function: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Load the plugins of the process that submits a task, and run it."""
    plugins.load_all(plugin_paths)
    function(*args)


def _cancel(refs: Iterable[Any], *, force: bool) -> None:
    ray = import_ray()
    for ref in refs:
        with contextlib.suppress(Exception):
            ray.cancel(ref, force=force)


def _user_error(ref: Any, task: Task) -> UserError | None:
    """Return the UserError that a task raised, or one for a worker that died repeatedly. A cancelled task has none."""
    ray = import_ray()
    try:
        ray.get(ref)
    except ray.exceptions.TaskCancelledError:
        return None
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            return error.cause
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
        return UserError(
            f"The worker of '{task.name}' of '{task.group.name}' died {MAX_RETRIES + 1} times.",
            fix="most likely memory ran out: run fewer at once with --workers; "
            "a smaller batch is another benchmark: --set batch=… --out …",
        )
    return None


def _options(resources: Resources) -> dict[str, float]:
    """Return what a task takes of the cluster: a GPU, or its threads, at most the processors of the largest node."""
    if resources.device == "cpu":
        largest = max(node.get("CPU", 0) for node in _nodes())
        return {"num_cpus": max(1.0, min(float(resources.threads), largest))}
    check_device(resources.device)
    if not _has_gpu():
        raise _no_gpu()
    return {"num_cpus": 1, "num_gpus": 1}


def _nodes() -> list[dict[str, float]]:
    """Return the resources of every node that is alive."""
    return [node["Resources"] for node in import_ray().nodes() if node["Alive"]]


def _has_gpu() -> bool:
    return any(node.get("GPU", 0) >= 1 for node in _nodes())


def _no_gpu() -> UserError:
    return UserError("No node of this Ray cluster has a GPU.", fix="add one, or use processors: --device cpu --out …")


@contextmanager
def _cluster(address: str, processors: int) -> Iterator[None]:
    """Connect to a cluster; one started here has `processors`, 0 for all. An existing connection is used and left open."""
    ray = import_ray()
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == RAY:
        import torch

        resources = {"num_cpus": processors or None, "num_gpus": torch.cuda.device_count()}
        ray.init("local", object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False, **resources, **quiet)
    else:
        env = {name: os.environ[name] for name in FORWARDED_ENV if name in os.environ}
        try:
            ray.init(address, runtime_env={"env_vars": env}, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise UserError(
                f"The Ray cluster at '{address}' cannot be used: {' … '.join(dict.fromkeys([lines[0], lines[-1]]))}.",
                fix="check that it runs, that the versions of Ray and Python agree, and that RAY_AUTH_TOKEN is its own",
            ) from error
    try:
        yield
    finally:
        ray.shutdown()
