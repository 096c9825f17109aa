"""Members of a benchmark are trained alike in this process, in a pool and on Ray."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitotype.core import files
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, OnLog
from mitotype.experiments import benchmark
from mitotype.fit.member import fit_member
from mitotype.fit.recipe import Recipe
from mitotype.jobs import executor, on_ray
from mitotype.jobs.task import Callbacks, GroupFinished, Task
from tests.benchmark_cohorts import MakeConfig, recipe_of, score_tests

pytestmark = pytest.mark.usefixtures("one_thread")


def weight_digests(run_dir: Path) -> dict[str, str]:
    return {path.parent.name: files.sha256(path) for path in sorted(run_dir.glob("members/*/model.safetensors"))}


def test_a_pool_trains_the_same_members_as_one_process(make_config: MakeConfig, tmp_path: Path) -> None:
    plans = [benchmark.prepare(make_config(tmp_path / name, backbones=("d4resnet-tiny",))) for name in ("a", "b")]
    lines: list[LogLine] = []
    done: list[int] = []
    a, b = ([task for task in plan.tasks() if task.group == plan.runs[1].dir] for plan in plans)
    assert list(executor.run(a, "local", 1)) == [GroupFinished(plans[0].runs[1].dir)]
    assert list(executor.run(b, "local", 2, Callbacks(lines.append, done.append))) == [
        GroupFinished(plans[1].runs[1].dir)
    ]
    assert weight_digests(a[0].group) == weight_digests(b[0].group) != {}
    assert {line.member for line in lines} == set(weight_digests(b[0].group))
    assert done == [1, 1]


def test_unknown_backends_are_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a backend"):
        benchmark.prepare(make_config(tmp_path, backend="there"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    pytest.importorskip("ray")
    with on_ray._cluster("ray", 2):
        yield


@pytest.mark.usefixtures("cluster")
def test_members_are_trained_on_ray(make_config: MakeConfig, tmp_path: Path) -> None:
    plan = benchmark.prepare(make_config(tmp_path, backbones=("d4resnet-tiny",)))
    finished = list(executor.run(plan.tasks(), "ray", 2))
    assert sorted(group.group for group in finished) == sorted(run.dir for run in plan.runs)
    assert plan.tasks() == []


def long_recipe_of(backbone: str, adaptation: str) -> Recipe:
    """Return a recipe that leaves time to kill its worker."""
    return dataclasses.replace(recipe_of(backbone, adaptation), epochs=20)


def fit_and_record_pid(task: Task, on_log: OnLog = lambda line: None) -> None:
    with (task.group / f"{task.name}.pid").open("a") as file:
        file.write(f"{os.getpid()}\n")
    fit_member(*task.args, on_log)


@pytest.mark.long
def test_on_ray_only_the_member_of_a_killed_worker_is_trained_again(make_config: MakeConfig, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    config = make_config(tmp_path, backbones=("d4resnet-tiny",), recipe_of=long_recipe_of, workers=2, backend="ray")
    plan = benchmark.prepare(config)
    run_dir = plan.runs[1].dir
    killed: list[int] = []

    def kill_once(line: LogLine) -> None:
        if not killed and line.cell == "d4resnet-tiny, full" and line.member == "fold1-seed0":
            killed.append(int((run_dir / "fold1-seed0.pid").read_text().split()[-1]))
            os.kill(killed[0], signal.SIGKILL)

    done: list[int] = []
    tasks = [dataclasses.replace(task, function=fit_and_record_pid, args=(task,)) for task in plan.tasks()]
    finished = list(executor.run(tasks, "ray", 2, Callbacks(kill_once, done.append)))
    assert finished == [GroupFinished(run.dir) for run in plan.runs]
    assert done == [1, 1, 1, 1]
    pids = [int(line) for line in (run_dir / "fold1-seed0.pid").read_text().split()]
    assert pids[0] == killed[0]
    assert len(pids) == 2
    assert len((run_dir / "fold2-seed0.pid").read_text().split()) == 1
    assert plan.tasks() == []
    table = benchmark.resume(plan, score_tests)
    assert [row.backbone for row in table.rows] == ["morphology", "d4resnet-tiny"]
    assert all(row.members == 2 for row in table.rows)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Return the nodes of a cluster that does not exist; a test may change them."""
    pytest.importorskip("ray")
    nodes = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}]
    monkeypatch.setattr(on_ray, "_nodes", lambda: nodes)
    monkeypatch.setattr(on_ray, "_cluster", lambda address, processors: contextlib.nullcontext())
    monkeypatch.setattr(executor, "check_backend", lambda backend: None)
    return nodes


def test_the_device_is_that_of_the_cluster(
    nodes: list[dict[str, float]], make_config: MakeConfig, tmp_path: Path
) -> None:
    address = "192.0.2.1:6379"
    plan = benchmark.prepare(make_config(tmp_path, backend=address, device="auto"))
    assert {run.record.device for run in plan.runs} == {"cuda"}
    assert [run.resources.device for run in plan.runs] == ["cpu", "cuda", "cuda"]  # a feature takes no GPU
    nodes.pop()
    devices = [
        benchmark._resolve_device(make_config(tmp_path, backend=address, device=name)) for name in ("auto", "cpu")
    ]
    assert devices == ["cpu", "cpu"]
    for device, message in (("cuda", "No node"), ("cuda:1", "cannot be chosen")):
        with pytest.raises(UserError, match=message):
            benchmark._resolve_device(make_config(tmp_path, backend=address, device=device))
