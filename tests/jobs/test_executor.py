"""Tasks run in this process, in a pool and on Ray; errors of tasks and deaths of workers become errors of their groups."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, OnLog
from mitotype.jobs import executor, local, on_ray
from mitotype.jobs.task import Callbacks, GroupFinished, Resources, Task


def no_log(line: LogLine) -> None:
    pass


def count_start(run_dir: Path, name: str) -> int:
    """Record that a task starts, and return how often it has been started."""
    path = run_dir / f"{name}.starts"
    with path.open("a") as file:
        file.write("start\n")
    return len(path.read_text().split())


def log_name(run_dir: Path, name: str, on_log: OnLog = no_log) -> None:
    count_start(run_dir, name)
    line = LogLine(member=name, epoch=1, loss=0.5)
    records.append(run_dir / "log.jsonl", line)
    on_log(line)


def fail_in_first(run_dir: Path, name: str, on_log: OnLog = no_log) -> None:
    count_start(run_dir, name)
    if run_dir.name == "first":
        raise UserError(f"'{name}' is invalid.", fix="correct it", code="M999")


def die(run_dir: Path, name: str, on_log: OnLog = no_log) -> None:
    os._exit(1)


def die_once(run_dir: Path, name: str, on_log: OnLog = no_log) -> None:
    if count_start(run_dir, name) == 1 and name == "b":
        os._exit(1)


def wait_in_last(run_dir: Path, name: str, on_log: OnLog = no_log) -> None:
    end_s = time.monotonic() + 30
    while run_dir.name == "last" and not (run_dir / "go").is_file():
        if time.monotonic() > end_s:
            raise UserError("The first group was not yielded while the last was running.")
        time.sleep(0.05)


def tasks_of(run_dir: Path, *task_names: str, function: Any = log_name, threads: int = 1) -> list[Task]:
    run_dir.mkdir(exist_ok=True)
    return [Task(run_dir, name, function, (run_dir, name), Resources(threads=threads)) for name in task_names]


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_are_logged_and_counted(tmp_path: Path, workers: int) -> None:
    lines: list[LogLine] = []
    done: list[int] = []
    tasks = tasks_of(tmp_path / "run", "a", "b")
    finished = list(executor.run(tasks, "local", workers, Callbacks(lines.append, done.append)))
    assert finished == [GroupFinished(tmp_path / "run")]
    assert sorted(lines, key=lambda line: line.member) == [LogLine(member=name, epoch=1, loss=0.5) for name in "ab"]
    assert done == [1, 1]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_its_group_and_no_other(tmp_path: Path, workers: int) -> None:
    tasks = tasks_of(tmp_path / "first", "a", "b", "c", function=fail_in_first)
    tasks += tasks_of(tmp_path / "last", "a", function=fail_in_first)
    errors = {finished.group.name: finished.error for finished in executor.run(tasks, "local", workers)}
    assert errors["last"] is None
    assert errors["first"] is not None
    assert (errors["first"].what[3:], errors["first"].code, errors["first"].fix) == (
        " is invalid.",
        "M999",
        "correct it",
    )
    assert not (tmp_path / "first" / "c.starts").exists()


def test_other_exceptions_stop_everything(tmp_path: Path) -> None:
    tasks = [Task(tmp_path, folder, os.listdir, (tmp_path / folder,)) for folder in (".", "absent")]
    with pytest.raises(FileNotFoundError):
        list(local.run_local(tasks, 2, Callbacks()))


@pytest.mark.parametrize("backend", ["there", "raylet", "", "host:port"])
def test_unknown_backends_are_refused(backend: str) -> None:
    with pytest.raises(UserError, match="is not a backend"):
        executor.check_backend(backend)


def test_a_cluster_that_does_not_answer_is_reported_at_once() -> None:
    pytest.importorskip("ray")
    for address in ("127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999"):
        with pytest.raises(UserError, match="No Ray cluster answers"):
            executor.check_backend(address)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match=r"mitotype\[ray\]"):
        executor.check_backend("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    with on_ray._cluster("ray", 2):
        yield
    assert not ray.is_initialized()


@pytest.mark.usefixtures("cluster")
def test_on_ray_an_error_ends_its_group_and_no_other(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path / "first", "a", function=fail_in_first)
    tasks += tasks_of(tmp_path / "last", "a", function=fail_in_first)
    errors = {finished.group.name: finished.error for finished in executor.run(tasks, "ray", 2)}
    assert errors["last"] is None
    assert type(errors["first"]) is UserError
    assert (errors["first"].code, errors["first"].fix) == ("M999", "correct it")


@pytest.mark.usefixtures("cluster")
def test_on_ray_only_the_task_of_a_dead_worker_is_run_again(tmp_path: Path) -> None:
    done: list[int] = []
    tasks = tasks_of(tmp_path / "run", "a", "b", "c", function=die_once)
    finished = list(executor.run(tasks, "ray", 2, Callbacks(on_done=done.append)))
    assert finished == [GroupFinished(tmp_path / "run")]
    starts = {path.stem: len(path.read_text().split()) for path in tmp_path.rglob("*.starts")}
    assert starts == {"a": 1, "b": 2, "c": 1}
    assert done == [1, 1, 1]


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_group_is_yielded_while_others_are_running(tmp_path: Path) -> None:
    tasks = tasks_of(tmp_path / "first", "a", function=wait_in_last)
    tasks += tasks_of(tmp_path / "last", "a", function=wait_in_last)
    finished = []
    for group in executor.run(tasks, "ray", 2):
        (tmp_path / "last" / "go").touch()
        finished.append(group)
    assert finished == [GroupFinished(tmp_path / "first"), GroupFinished(tmp_path / "last")]


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_worker_that_dies_repeatedly_is_an_error(tmp_path: Path) -> None:
    (finished,) = executor.run(tasks_of(tmp_path / "run", "a", function=die), "ray", 2)
    assert "The worker of 'a' of 'run' died 4 times" in str(finished.error)
    assert "--workers" in str(finished.error)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Return the nodes of a cluster that does not exist; a test may change them."""
    pytest.importorskip("ray")
    nodes = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}]
    monkeypatch.setattr(on_ray, "_nodes", lambda: nodes)
    return nodes


def test_tasks_take_a_gpu_or_their_threads(nodes: list[dict[str, float]]) -> None:
    assert on_ray._options(Resources("cuda", 2)) == {"num_cpus": 1, "num_gpus": 1}
    assert on_ray._options(Resources("cpu", 1)) == {"num_cpus": 1.0}
    assert on_ray._options(Resources("cpu", 32)) == {"num_cpus": 8.0}
    with pytest.raises(UserError, match="cannot be chosen"):
        on_ray._options(Resources("cuda:1"))
    nodes.pop()
    with pytest.raises(UserError, match="No node"):
        on_ray._options(Resources("cuda"))


def test_workers_have_processors_for_all_their_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def cluster(address: str, processors: int) -> None:
        raise UserError(f"{processors} processors")

    monkeypatch.setattr(on_ray, "_cluster", cluster)
    tasks = tasks_of(tmp_path / "run", "a", threads=3)
    with pytest.raises(UserError, match="6 processors"):
        list(executor.run(tasks, "ray", 2))


def test_the_environment_for_weights_is_passed_to_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, Any]] = []
    ray = SimpleNamespace(
        is_initialized=lambda: False, shutdown=lambda: None, init=lambda address, **kwargs: options.append(kwargs),
        exceptions=SimpleNamespace(RayError=RuntimeError),
    )  # fmt: skip
    monkeypatch.setattr(on_ray, "import_ray", lambda: ray)
    monkeypatch.setenv("HF_HOME", "/weights")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with on_ray._cluster("192.0.2.1:6379", 0):
        env = options[0]["runtime_env"]["env_vars"]
    assert env["HF_HOME"] == "/weights"
    assert "HF_HUB_OFFLINE" not in env
