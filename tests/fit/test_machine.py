"""Machines: a driver without a GPU prepares and ends what another machine trains; bf16 only where hardware multiplies it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit import crew, loop, machine, run
from mitotype.fit import recipe as recipes
from mitotype.fit.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_a_run_is_prepared_for_a_gpu_that_is_elsewhere(tiny: Recipe, drawn_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="No GPU"):
        run.prepare(tiny, drawn_cohort, tmp_path / "run", device="cuda")
    run.prepare(tiny, drawn_cohort, tmp_path / "run", device="cuda", here=False)
    told = files.read_json(tmp_path / "run" / "run.json")
    assert (told["device"], told["workers"], told["machine"]["gpu"]) == ("cuda", 1, None)
    with pytest.raises(Mistake, match="No GPU"):
        run.go_on(tmp_path / "run")
    with pytest.raises(Mistake, match="no device 'gpu'"):
        machine.told(tiny, "gpu", 1, here=False)


@pytest.mark.usefixtures("no_gpu")
def test_a_run_whose_members_are_whole_ends_without_its_gpu(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for name in ("DONE", "decision.json", "unlike.json"):
        (folder / name).unlink()
    files.write_json(folder / "run.json", files.read_json(folder / "run.json") | {"device": "cuda"})
    run.go_on(folder)
    assert (folder / "DONE").is_file()
    assert files.read_json(folder / "decision.json") == files.read_json(whole / "decision.json")
    assert (folder / "unlike.json").is_file()


@pytest.mark.parametrize(("multiplies", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_gpu_multiplies_it(
    multiplies: bool, precision: str, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or multiplies
    )
    told = machine.told(recipes.with_settings(tiny, ["precision=auto"]), "cuda", 1)
    assert told["precision"] == precision


def test_memory_of_a_gpu_that_does_not_suffice_is_a_mistake(
    tiny: Recipe, drawn_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "train", train)
    with pytest.raises(Mistake, match=r"accumulate=2.*recompute=1.*batch=4"):
        run.start(tiny, drawn_cohort, tmp_path / "run")


def test_a_worker_that_is_killed_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="want of memory"):
        list(crew.side_by_side(os._exit, [(1,)], 1, crew.Tail([]), lambda line: None))
