"""The environment of a run: created and finalized on a machine without its GPU; bf16 only where hardware multiplies it."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.fit import environment, run
from mitotype.fit import recipe as recipes
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import trainer
from mitotype.jobs import local
from mitotype.jobs.task import Callbacks, Task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_a_run_is_created_for_the_gpu_of_another_machine(tiny: Recipe, toy_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No GPU"):
        run.create(tiny, toy_cohort, tmp_path / "run", device="cuda")
    run.create(tiny, toy_cohort, tmp_path / "run", device="cuda", local=False)
    metadata = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert (metadata["device"], metadata["workers"], metadata["machine"]["gpu"]) == ("cuda", 1, None)
    with pytest.raises(UserError, match="No GPU"):
        run.resume(tmp_path / "run")
    with pytest.raises(UserError, match="no device 'gpu'"):
        environment.describe(tiny, "gpu", 1, local=False)


@pytest.mark.usefixtures("no_gpu")
def test_a_run_with_complete_members_is_finalized_without_its_gpu(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    for name in ("DONE", "decision.json", "ood.json"):
        (folder / name).unlink()
    records.write(folder / "run.json", json.loads((folder / "run.json").read_bytes()) | {"device": "cuda"})
    run.resume(folder)
    assert (folder / "DONE").is_file()
    assert json.loads((folder / "decision.json").read_bytes()) == json.loads(
        (finished_run / "decision.json").read_bytes()
    )
    assert (folder / "ood.json").is_file()


@pytest.mark.usefixtures("no_gpu")
def test_a_run_begun_on_a_gpu_goes_on_without_one_when_asked(tiny: Recipe, toy_cohort: Cohort, tmp_path: Path) -> None:
    run.create(tiny, toy_cohort, tmp_path / "run", device="cuda", local=False)
    with pytest.raises(UserError, match=r"(?s)No GPU.*--device cpu"):
        run.resume(tmp_path / "run")
    with pytest.warns(UserWarning, match="begun on cuda, continued on cpu"):
        run.resume(tmp_path / "run", device="cpu")
    record = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert (record["device"], record["notes"]) == ("cpu", ["begun on cuda, continued on cpu"])
    assert (tmp_path / "run" / "DONE").is_file()


def test_other_libraries_than_at_the_start_are_named(tiny: Recipe, toy_cohort: Cohort, tmp_path: Path) -> None:
    run.create(tiny, toy_cohort, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    started = json.loads(path.read_bytes())
    started["versions"] |= {"timm": "0.0.1", "no-such-library": "3"}
    records.write(path, started)
    with pytest.warns(
        UserWarning, match=r"begun with timm 0\.0\.1, continued with [1-9].*no-such-library 3, continued with none"
    ):
        run.reopen(tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.reopen(tmp_path / "run")  # the note is there
    assert len(json.loads(path.read_bytes())["notes"]) == 1


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_gpu_multiplies_it(
    has_bf16: bool, precision: str, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_bf16
    )
    described = environment.describe(recipes.with_settings(tiny, ["precision=auto"]), "cuda", 1)
    assert described.precision == precision


def test_out_of_gpu_memory_is_a_user_error(
    tiny: Recipe, toy_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "train", train)
    with pytest.raises(UserError, match=r"grad_accum_steps=2.*grad_checkpointing=1.*batch=4"):
        run.start(tiny, toy_cohort, tmp_path / "run")


def test_a_killed_worker_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="memory ran out"):
        list(local.run_local([Task(tmp_path, name, os._exit, (1,)) for name in "ab"], 2, Callbacks()))
