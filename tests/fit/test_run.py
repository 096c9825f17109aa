"""Runs: reproducible to the bit, resumed after a kill at any moment, and never complete with a file half written."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mitotype import datasets
from mitotype.core import files, records, tables
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, read_run
from mitotype.core.schema import OUT_OF_FOLD, Cohort
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.context import load_run
from mitotype.fit.recipe import Recipe
from mitotype.scores import table

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(folder: Path) -> pd.DataFrame:
    stored = table.read(folder).scores.astype(dict.fromkeys(("patch_id", "part", "member", "view"), str))
    return stored.sort_values(["patch_id", "member", "view"]).reset_index(drop=True)


def weights(folder: Path) -> dict[str, str]:
    return {path.parent.name: files.sha256(path) for path in sorted(folder.glob("members/*/model.safetensors"))}


def test_a_run_is_complete(finished_run: Path, toy_cohort: Cohort) -> None:
    scores = rows(finished_run)
    assert (finished_run / "DONE").is_file()
    assert set(scores["part"]) == {OUT_OF_FOLD}
    assert sorted(scores["patch_id"]) == sorted(toy_cohort.rows["patch_id"])
    assert set(scores["member"]) == {"fold1-seed0", "fold2-seed0"}
    assert set(weights(finished_run)) == {"fold1-seed0", "fold2-seed0", "all-seed0"}
    metadata = json.loads((finished_run / "run.json").read_bytes())
    assert metadata["overrides"]["epochs"] == 3
    assert metadata["recipe"]["lr"] == 1e-3
    assert not list(finished_run.rglob("checkpoint*")) + list(finished_run.rglob("*.part"))
    patches = tables.read_stored(finished_run / "patches.parquet").set_index("patch_id")
    fold_of = scores.set_index("patch_id")["fold"]
    assert (patches["fold"] == fold_of[patches.index]).all()
    assert patches.groupby("case_id")["fold"].nunique().max() == 1


def test_the_same_recipe_and_seed_are_reproducible(finished_run: Path, toy_cohort: Cohort, tmp_path: Path) -> None:
    again = run.start(recipes.read_recipe(finished_run), toy_cohort, tmp_path / "again")
    assert weights(again) == weights(finished_run)
    pd.testing.assert_frame_equal(rows(again), rows(finished_run), check_exact=True)
    assert json.loads((again / "decision.json").read_bytes()) == json.loads(
        (finished_run / "decision.json").read_bytes()
    )
    other = recipes.with_settings(recipes.read_recipe(finished_run), ["seed=1"])
    name, digest = weights(stopped(other, toy_cohort, tmp_path / "other", 4)).popitem()
    assert weights(finished_run)[name] != digest


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("quick_checkpoints")
@pytest.mark.parametrize("after", [4, 9])
def test_resumed_after_an_epoch_equals_never_stopped(
    finished_run: Path, toy_cohort: Cohort, tmp_path: Path, after: int
) -> None:
    folder = stopped(recipes.read_recipe(finished_run), toy_cohort, tmp_path / "stopped", after)
    run.resume(folder)
    assert weights(folder) == weights(finished_run)
    pd.testing.assert_frame_equal(rows(folder), rows(finished_run), check_exact=True)


def stopped(recipe: Recipe, cohort: Cohort, folder: Path, after: int) -> Path:
    """Return a run that was stopped at its log line `after`, before the checkpoint of that epoch is written."""
    count = 0

    def on_log(line: LogLine) -> None:
        nonlocal count
        count += 1
        if count == after:
            raise Stopped

    with pytest.raises(Stopped):
        run.start(recipe, cohort, folder, on_log=on_log)
    assert not (folder / "DONE").exists()
    return folder


KINDS: dict[str, dict[str, Any]] = {
    "muon": {"optimizer": "muon"},
    "batch norm": {"backbone": "resnet10"},  # its kernels and their moments are channels last
    "patience": {"patience": 1, "schedule": "plateau(0.5, 0)", "folds": "2", "n_final_models": 0},
}


@pytest.mark.usefixtures("quick_checkpoints")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_state_is_resumed(toy_cohort: Cohort, tiny: Recipe, tmp_path: Path, kind: str) -> None:
    few = toy_cohort.take(toy_cohort.rows.index < 16)
    small = {"objective": "soft_bce", "mixup": 0.0, "ood_flag": 0, "folds": "none", "n_final_models": 1}
    recipe = dataclasses.replace(tiny, **(small | KINDS[kind]))
    never = run.start(recipe, few, tmp_path / "never")
    folder = stopped(recipe, few, tmp_path / "stopped", 2)
    assert list(folder.rglob("checkpoint.safetensors"))
    run.resume(folder)
    assert weights(folder) == weights(never)


KILLED = """
import sys
from pathlib import Path
from mitotype.fit import run
from mitotype.fit.train import checkpoint
checkpoint.CheckpointWriter.__init__.__defaults__ = (0.0,)
run.resume(Path(sys.argv[1]))
"""


def test_resumed_after_kills_equals_never_stopped(finished_run: Path, toy_cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    with pytest.raises(Stopped):
        run.start(
            recipes.read_recipe(finished_run), toy_cohort, folder, on_log=lambda line: (_ for _ in ()).throw(Stopped)
        )
    environment = {**os.environ, "OMP_NUM_THREADS": str(json.loads((folder / "run.json").read_bytes())["threads"])}
    for moment_s in (0.0, 0.1):
        before = (folder / "log.jsonl").stat().st_size
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=environment)
        deadline = time.monotonic() + 120
        while (folder / "log.jsonl").stat().st_size == before and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moment_s)
        assert child.poll() is None, "it ended before it was killed"
        child.send_signal(signal.SIGKILL)
        child.wait()
    run.resume(folder)
    assert weights(folder) == weights(finished_run)
    pd.testing.assert_frame_equal(rows(folder), rows(finished_run), check_exact=True)


def test_members_fitted_in_parallel_equal_those_fitted_in_turn(
    finished_run: Path, toy_cohort: Cohort, tmp_path: Path
) -> None:
    folder, lines = tmp_path / "pool", []
    with pytest.raises(Stopped):
        run.start(
            recipes.read_recipe(finished_run), toy_cohort, folder, on_log=lambda line: (_ for _ in ()).throw(Stopped)
        )
    records.write(folder / "run.json", json.loads((folder / "run.json").read_bytes()) | {"workers": 2})
    run.resume(folder, on_log=lines.append)
    assert weights(folder) == weights(finished_run)
    pd.testing.assert_frame_equal(rows(folder), rows(finished_run), check_exact=True)
    assert {line.member for line in lines} == set(weights(finished_run))


def test_an_error_in_a_worker_stops_the_pool(toy_cohort: Cohort, tiny: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    hot = dataclasses.replace(tiny, lr=9e5, weight_decay=0.0, ema_decay=0.0, warmup_epochs=0.0)
    with pytest.raises(Stopped):
        run.start(hot, toy_cohort, folder, on_log=lambda line: (_ for _ in ()).throw(Stopped))
    records.write(folder / "run.json", json.loads((folder / "run.json").read_bytes()) | {"workers": 2})
    with pytest.raises(UserError, match="not finite"):
        run.resume(folder)


def test_an_existing_run_and_changed_images_are_errors(finished_run: Path, toy_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="already contains a run"):
        run.start(recipes.read_recipe(finished_run), toy_cohort, finished_run)
    with pytest.raises(Stopped):
        run.start(
            recipes.read_recipe(finished_run),
            toy_cohort,
            tmp_path / "a",
            on_log=lambda line: (_ for _ in ()).throw(Stopped),
        )
    patches = tables.read_stored(tmp_path / "a" / "patches.parquet")
    patches.loc[0, "digest"] = "0" * 64
    files.write_table(tmp_path / "a" / "patches.parquet", patches)
    with pytest.raises(UserError, match="have changed"):
        run.resume(tmp_path / "a")


def test_a_run_of_relative_paths_resumes_from_another_folder(
    toy_cohort: Cohort, tiny: Recipe, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = toy_cohort.rows.assign(path=[Path(path).name for path in toy_cohort.rows["path"]])
    home = Path(toy_cohort.rows["path"][0]).parent
    listing.to_csv(tmp_path / "list.csv", index=False)
    for path in listing["path"]:
        (tmp_path / path).symlink_to(home / path)
    (tmp_path / "before").symlink_to(finished_run)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    [cohort] = datasets.read("list.csv", part="train")
    recipe = dataclasses.replace(tiny, init_from="before", objective="soft_bce")
    run.create(recipe, cohort, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    metadata = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert metadata["recipe"]["init_from"] == str(tmp_path / "before")
    assert load_run(tmp_path / "run").cohort.rows["path"][0] == str(tmp_path / "0.png")


@pytest.mark.parametrize("change", ["one class", "no label"])
def test_data_that_cannot_be_trained_on(toy_cohort: Cohort, tiny: Recipe, tmp_path: Path, change: str) -> None:
    rows = toy_cohort.rows.copy()
    rows["label"] = 0.0 if change == "one class" else float("nan")
    with pytest.raises(UserError, match=r"one class|no label"):
        run.start(tiny, Cohort("bad", rows), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("column", "objective", "word"),
    [
        ("expert_votes", "soft_bce + 0.2 * expert", "no target for the loss 'expert'"),
        ("sub_label_1", "soft_bce + 0.2 * sub_label", "no target for the loss 'sub_label'"),
        ("expert_votes", "soft_bce + 0.2 * descriptor(24)", r"write descriptor\(219\)"),
    ],
)
def test_missing_targets_are_reported_before_the_folder_is_created(
    toy_cohort: Cohort, tiny: Recipe, tmp_path: Path, column: str, objective: str, word: str
) -> None:
    cohort = Cohort("poor", toy_cohort.rows.drop(columns=column))
    with pytest.raises(UserError, match=word):
        run.create(dataclasses.replace(tiny, objective=objective), cohort, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("objective", "is_noted"), [("supcon", True), ("supcon + 0.1 * bce", False)])
def test_a_head_that_no_loss_trains_is_noted(
    toy_cohort: Cohort, tiny: Recipe, tmp_path: Path, objective: str, is_noted: bool
) -> None:
    run.create(dataclasses.replace(tiny, objective=objective), toy_cohort, tmp_path / "run")
    assert (run.UNTRAINED in read_run(tmp_path / "run").notes) == is_noted


def test_a_loss_that_is_not_finite_is_an_error(toy_cohort: Cohort, tiny: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not finite"):
        run.start(
            dataclasses.replace(tiny, lr=9e5, weight_decay=0.0, ema_decay=0.0, epochs=20),
            toy_cohort,
            tmp_path / "hot",
        )


def test_the_tiny_net_learns_the_synthetic_classes(
    finished_run: Path, toy_cohort: Cohort, tmp_path: Path, tiny: Recipe
) -> None:
    """A few epochs on images that differ clearly rank better than chance; a baseline, not a result."""
    longer = dataclasses.replace(tiny, epochs=12, mixup=0.0, objective="soft_bce", lr=3e-3, ood_flag=0)
    folder = run.start(longer, toy_cohort, tmp_path / "longer")
    scores = table.read(folder)
    joined = scores.joined(scores.scores.groupby(["patch_id", "part"], as_index=False)["logit"].mean())
    assert roc_auc_score(joined["label"], joined["logit"]) > 0.7
