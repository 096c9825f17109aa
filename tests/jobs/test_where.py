"""Where jobs run: side by side here, on Ray with a worker killed, and what a worker's Mistake or death becomes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.fit.recipe import Recipe
from mitotype.fit.run import Job, Told
from mitotype.jobs import benchmark, where
from mitotype.jobs.benchmark import Asked
from mitotype.jobs.where import Ended, Listener, Task
from tests.jobs.conftest import recipe_of, score

pytestmark = pytest.mark.usefixtures("one_thread")
Ask = Callable[..., Asked]


def longer(backbone: str, adaptation: str) -> Recipe:
    """Long enough for a worker to be killed on its way."""
    return dataclasses.replace(recipe_of(backbone, adaptation), epochs=20)


def weights(folder: Path) -> dict[str, str]:
    return {path.parent.name: files.sha256(path) for path in sorted(folder.glob("members/*/model.safetensors"))}


def test_side_by_side_is_as_in_turn(ask: Ask, tmp_path: Path) -> None:
    plans = [benchmark.prepare(ask(tmp_path / name, backbones=("d4resnet-tiny",))) for name in ("a", "b")]
    told: list[dict[str, Any]] = []
    done: list[int] = []
    a, b = ([task for task in plan.tasks() if task.folder == plan.runs[1].folder] for plan in plans)
    assert list(where.run(a, "here", 1, Listener())) == [Ended(plans[0].runs[1].folder)]
    assert list(where.run(b, "here", 2, Listener(told.append, done.append))) == [Ended(plans[1].runs[1].folder)]
    assert weights(a[0].folder) == weights(b[0].folder) != {}
    assert {line["member"] for line in told} == set(weights(b[0].folder))
    assert done == [1, 1]


@pytest.mark.parametrize("place", ["there", "raylet", "", "host:port"])
def test_no_such_place(ask: Ask, tmp_path: Path, place: str) -> None:
    with pytest.raises(Mistake, match="no place to run at"):
        benchmark.prepare(ask(tmp_path, place=place))


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    pytest.importorskip("ray")
    for place in ("127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999"):
        with pytest.raises(Mistake, match="Nobody answers"):
            where.check(place)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(Mistake, match=r"mitotype\[ray\]"):
        where.check("ray")


def noted(task: Task, told: Told = lambda line: None) -> None:
    """Train a member and leave the number of the process that does."""
    with (task.folder / f"{task.job.name}.pid").open("a") as file:
        file.write(f"{os.getpid()}\n")
    where.train(task, told)


def died(task: Task, told: Told = lambda line: None) -> None:
    os._exit(1)


@pytest.mark.long
def test_on_ray_a_killed_worker_costs_one_job_which_is_done_again(ask: Ask, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    plan = benchmark.prepare(ask(tmp_path, backbones=("d4resnet-tiny",), recipe_of=longer, workers=2, place="ray"))
    folder = plan.runs[1].folder
    killed: list[int] = []

    def told(line: dict[str, Any]) -> None:
        if not killed and line["cell"] == "d4resnet-tiny, full" and line["member"] == "fold1-seed0":
            killed.append(int((folder / "fold1-seed0.pid").read_text().split()[-1]))
            os.kill(killed[0], signal.SIGKILL)

    done: list[int] = []
    found = list(where.run(plan.tasks(), "ray", 2, Listener(told, done.append), work=noted))
    assert found == [Ended(one.folder) for one in plan.runs]
    assert done == [1, 1, 1, 1]
    pids = [int(line) for line in (folder / "fold1-seed0.pid").read_text().split()]
    assert pids[0] == killed[0]
    assert len(pids) == 2
    assert len((folder / "fold2-seed0.pid").read_text().split()) == 1
    assert plan.tasks() == []
    table = benchmark.go_on(plan, score)
    assert [row.backbone for row in table.rows] == ["morphology", "d4resnet-tiny"]
    assert all(row.members == 2 for row in table.rows)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    with where._cluster("ray", 2):
        yield
    assert not ray.is_initialized()


def bare(folder: Path, *jobs: str, backbone: str = "resnet10", device: str = "cpu") -> list[Task]:
    """Tasks of a run that has nothing but what the places read."""
    told = {"device": device, "threads": 1, "workers": 1, "recipe": {"backbone": backbone}}
    files.write_json(folder / "run.json", told)
    return [Task(folder, Job(name, number, 0), {}) for number, name in enumerate(jobs, 1)]


def begun(task: Task) -> Path:
    """Note that a task begins."""
    path = task.folder / f"{task.job.name}.begun"
    with path.open("a") as file:
        file.write("once\n")
    return path


def refused_in_first(task: Task, told: Told = lambda line: None) -> None:
    begun(task)
    if task.folder.name == "first":
        raise Mistake(f"'{task.job.name}' cannot be.", fix="mend it", code="M999")


def dies_once(task: Task, told: Told = lambda line: None) -> None:
    if len(begun(task).read_text().split()) == 1 and task.job.name == "b":
        os._exit(1)


def waits_in_last(task: Task, told: Told = lambda line: None) -> None:
    end_s = time.monotonic() + 30
    while task.folder.name == "last" and not (task.folder / "go").is_file():
        if time.monotonic() > end_s:
            raise Mistake("Nobody took up the first run while the last was at work.")
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_in_a_run_ends_no_other(tmp_path: Path, workers: int) -> None:
    tasks = [*bare(tmp_path / "first", "a", "b", "c"), *bare(tmp_path / "last", "a")]
    found = {
        ended.folder.name: ended.mistake
        for ended in where.run(tasks, "here", workers, Listener(), work=refused_in_first)
    }
    assert found["last"] is None
    assert found["first"] is not None
    assert (found["first"].what[3:], found["first"].code, found["first"].fix) == (" cannot be.", "M999", "mend it")
    assert not (tmp_path / "first" / "c.begun").exists()


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_mistake_in_a_run_ends_no_other(tmp_path: Path) -> None:
    tasks = [*bare(tmp_path / "first", "a"), *bare(tmp_path / "last", "a")]
    found = {
        ended.folder.name: ended.mistake for ended in where.run(tasks, "ray", 2, Listener(), work=refused_in_first)
    }
    assert found["last"] is None
    assert type(found["first"]) is Mistake
    assert (found["first"].code, found["first"].fix) == ("M999", "mend it")


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_worker_that_dies_costs_its_own_job(tmp_path: Path) -> None:
    done: list[int] = []
    tasks = bare(tmp_path / "run", "a", "b", "c")
    assert list(where.run(tasks, "ray", 2, Listener(done=done.append), work=dies_once)) == [Ended(tmp_path / "run")]
    assert {path.stem: len(path.read_text().split()) for path in tmp_path.rglob("*.begun")} == {"a": 1, "b": 2, "c": 1}
    assert done == [1, 1, 1]


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_run_is_told_while_others_are_at_work(tmp_path: Path) -> None:
    tasks = [*bare(tmp_path / "first", "a"), *bare(tmp_path / "last", "a")]
    found = []
    for ended in where.run(tasks, "ray", 2, Listener(), work=waits_in_last):
        (tmp_path / "last" / "go").touch()
        found.append(ended)
    assert found == [Ended(tmp_path / "first"), Ended(tmp_path / "last")]


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_worker_that_dies_again_and_again_is_told(tmp_path: Path) -> None:
    (ended,) = where.run(bare(tmp_path / "run", "a"), "ray", 2, Listener(), work=died)
    assert "died 4 times" in str(ended.mistake)
    assert "--workers" in str(ended.mistake)


@pytest.mark.usefixtures("cluster")
def test_on_ray_members_are_trained(ask: Ask, tmp_path: Path) -> None:
    plan = benchmark.prepare(ask(tmp_path, backbones=("d4resnet-tiny",)))
    found = list(where.run(plan.tasks(), "ray", 2, Listener()))
    assert sorted(ended.folder for ended in found) == sorted(one.folder for one in plan.runs)
    assert plan.tasks() == []


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """A cluster of these nodes, which the test may change; nobody is asked."""
    pytest.importorskip("ray")
    found = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}]
    monkeypatch.setattr(where, "_nodes", lambda: found)
    monkeypatch.setattr(where, "_cluster", lambda address, processors: contextlib.nullcontext())
    monkeypatch.setattr(where, "check", lambda place: None)
    return found


def test_a_feature_takes_no_gpu(nodes: list[dict[str, float]], tmp_path: Path) -> None:
    bare(tmp_path / "net", device="cuda")
    bare(tmp_path / "floor", backbone="morphology", device="cuda")
    assert where._needs(tmp_path / "net") == {"num_cpus": 1, "num_gpus": 1}
    assert where._needs(tmp_path / "floor") == {"num_cpus": 1.0}


def test_the_device_is_that_of_the_cluster(nodes: list[dict[str, float]], ask: Ask, tmp_path: Path) -> None:
    plan = benchmark.prepare(ask(tmp_path, place="192.0.2.1:6379", device="auto"))
    assert {files.read_json(one.folder / "run.json")["device"] for one in plan.runs} == {"cuda"}
    nodes.pop()
    assert [where.device("192.0.2.1:6379", word) for word in ("auto", "cpu")] == ["cpu", "cpu"]
    for word, told in (("cuda", "No node"), ("cuda:1", "cannot choose")):
        with pytest.raises(Mistake, match=told):
            where.device("192.0.2.1:6379", word)


def test_workers_have_processors_for_all_their_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def cluster(address: str, processors: int) -> None:
        raise Mistake(f"{processors} processors")

    monkeypatch.setattr(where, "_cluster", cluster)
    tasks = bare(tmp_path / "run", "a")
    path = tmp_path / "run" / "run.json"
    files.write_json(path, files.read_json(path) | {"threads": 3})
    with pytest.raises(Mistake, match="6 processors"):
        list(where.run(tasks, "ray", 2, Listener()))


def test_workers_of_a_cluster_are_told_where_weights_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    fake = SimpleNamespace(
        is_initialized=lambda: False, shutdown=lambda: None, init=lambda address, **words: asked.append(words),
        exceptions=SimpleNamespace(RayError=RuntimeError),
    )  # fmt: skip
    monkeypatch.setattr(where, "_imported", lambda: fake)
    monkeypatch.setenv("HF_HOME", "/weights")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with where._cluster("192.0.2.1:6379", 0):
        carried = asked[0]["runtime_env"]["env_vars"]
    assert carried["HF_HOME"] == "/weights"
    assert "HF_HUB_OFFLINE" not in carried
