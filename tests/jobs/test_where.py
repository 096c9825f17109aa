"""Where jobs run: side by side here, on Ray with a worker killed, and what a worker's Mistake or death becomes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.fit.recipe import Recipe
from mitotype.fit.run import Told
from mitotype.jobs import benchmark, where
from mitotype.jobs.benchmark import Asked
from mitotype.jobs.where import Listener, Task
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
    assert list(where.run(a, "here", 1, Listener())) == [plans[0].runs[1].folder]
    assert list(where.run(b, "here", 2, Listener(told.append, done.append))) == [plans[1].runs[1].folder]
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


def refused(task: Task, told: Told = lambda line: None) -> None:
    raise Mistake(f"'{task.job.name}' cannot be.", fix="mend it", code="M999")


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
    folders = list(where.on_ray(plan.tasks(), "ray", 2, Listener(told, done.append), work=noted))
    assert folders == [one.folder for one in plan.runs]
    assert done == [1, 1, 1, 1]
    pids = [int(line) for line in (folder / "fold1-seed0.pid").read_text().split()]
    assert pids[0] == killed[0]
    assert len(pids) == 2
    assert len((folder / "fold2-seed0.pid").read_text().split()) == 1
    assert plan.tasks() == []
    table = benchmark.go_on(plan, score)
    assert [row.backbone for row in table.rows] == ["morphology", "d4resnet-tiny"]
    assert all(row.members == 2 for row in table.rows)


@pytest.fixture
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    with where._cluster("ray", 2):
        yield
    assert not ray.is_initialized()


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_mistake_comes_back_and_a_death_is_told(ask: Ask, tmp_path: Path) -> None:
    plan = benchmark.prepare(ask(tmp_path, backbones=("d4resnet-tiny",)))
    with pytest.raises(Mistake) as told:
        list(where.on_ray(plan.tasks(), "ray", 2, Listener(), work=refused))
    assert type(told.value) is Mistake
    assert (told.value.code, told.value.fix) == ("M999", "mend it")
    with pytest.raises(Mistake, match="died 4 times"):
        list(where.on_ray(plan.tasks()[:1], "ray", 2, Listener(), work=died))
    assert list(where.on_ray(plan.tasks(), "ray", 2, Listener())) == [one.folder for one in plan.runs]
    assert plan.tasks() == []
