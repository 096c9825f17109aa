"""Runs are created by one process each: two at once get two folders, or one is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mitotype.api import scoring, training
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import exclusive
from mitotype.core.run_layout import names, read_run
from tests.robustness.commands import write_images

SETTINGS = ("folds=2", "epochs=1", "batch=8", "precision=fp32", "ood_flag=0")


@pytest.fixture
def data(tmp_path: Path) -> str:
    write_images(tmp_path / "train", 16, 0)
    return str(tmp_path / "train")


def _train(folder: Path, data: str, seed: int, *args: str) -> subprocess.Popen[str]:
    command = ["train", "demo", "--data", data, "--set", *SETTINGS, f"seed={seed}", *args]
    return subprocess.Popen(
        [sys.executable, "-m", "mitotype", *command], cwd=folder, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


@pytest.mark.usefixtures("one_cpu")
@pytest.mark.parametrize("out", ["", "run"])
def test_two_that_start_at_once_are_not_mixed(tmp_path: Path, data: str, out: str) -> None:
    processes = [_train(tmp_path, data, seed, *(["--out", out] if out else [])) for seed in (1, 2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    runs = [tmp_path / out] if out else [tmp_path / "runs" / "demo", tmp_path / "runs" / "demo-2"]
    assert sorted(process.returncode for process in processes) == ([0, 2] if out else [0, 0]), errors
    if out:
        assert any("is working in 'run'" in error or "already contains a run" in error for error in errors), errors
    seeds = [read_run(run_dir).recipe["seed"] for run_dir in runs]
    assert sorted(seeds) == sorted(set(seeds))
    for run_dir in runs:
        assert names.is_finished(run_dir)
        assert len({json.loads(line)["member"] for line in (run_dir / names.LOG).read_text().splitlines()}) == 2


def test_a_second_resume_is_refused(finished_run: Path, tmp_path: Path, data: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / names.RUN).write_bytes((finished_run / names.RUN).read_bytes())
    with exclusive(tmp_path / "run"):
        code = "from mitotype.cli import main; main(['resume', 'run'])"
        second = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "Another mitotype process (pid" in second.stderr


def test_the_default_folder_is_one_that_is_free(tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo-2", "demo-3x", "demo-4"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    recipe = training.load_recipe("demo", SETTINGS)
    assert [training.train(recipe, [data], device="cpu").dir.name for _ in range(2)] == ["demo", "demo-3"]


@pytest.mark.parametrize(
    ("recipe", "step"), [("demo", "mitotype score run --on"), ("pretrain", "--set init_from=run in mitotype train")]
)
def test_what_follows_a_run_without_folds(
    recipe: str, step: str, tmp_path: Path, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    monkeypatch.setattr(training.LOGGER, "info", messages.append)
    monkeypatch.chdir(tmp_path)
    settings = ["folds=none", "n_final_models=1", "epochs=1", "batch=8", "ood_flag=0"]
    run = training.train(recipe, data, out="run", settings=settings, device="cpu", quiet=False)
    assert f"run is finished; next: {step}" in messages[-1]
    with pytest.raises(UserError, match="has no out-of-fold rows"):
        scoring.evaluate(run, part="out-of-fold")


def test_nothing_is_left_of_a_run_that_could_not_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (None, tmp_path / "run"):
        with pytest.raises(UserError):
            training.train("demo", ["nowhere"], out=out)
    assert not (tmp_path / "run").exists() and not (tmp_path / "runs" / "demo").exists()


def test_the_folder_of_the_images_is_not_the_folder_of_the_run(tmp_path: Path, data: str) -> None:
    with pytest.raises(UserError, match="is an input"):
        training.train("demo", [data], out=Path(data))
