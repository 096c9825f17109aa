"""Runs: the same bits twice, resumed after a kill at any moment, nothing half-written taken for whole."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mitotype import datasets
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import OUT_OF_FOLD, Cohort
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.scores import table

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(folder: Path) -> pd.DataFrame:
    return table.read(folder).scores.sort_values(["patch_id", "member", "view"]).reset_index(drop=True)


def weights(folder: Path) -> dict[str, str]:
    return {path.parent.name: files.sha256(path) for path in sorted(folder.glob("members/*/model.safetensors"))}


def test_a_run_is_whole(whole: Path, drawn_cohort: Cohort) -> None:
    found = rows(whole)
    assert (whole / "DONE").is_file()
    assert set(found["part"]) == {OUT_OF_FOLD}
    assert sorted(found["patch_id"]) == sorted(drawn_cohort.rows["patch_id"])
    assert set(found["member"]) == {"fold1-seed0", "fold2-seed0"}
    assert set(weights(whole)) == {"fold1-seed0", "fold2-seed0", "all-seed0"}
    told = files.read_json(whole / "run.json")
    assert told["chosen"]["epochs"] == 3
    assert told["recipe"]["lr"] == 1e-3
    assert not list(whole.rglob("checkpoint*")) + list(whole.rglob("*.part"))
    patches = files.read_table(whole / "patches.parquet").set_index("patch_id")
    fold_of = found.set_index("patch_id")["fold"]
    assert (patches["fold"] == fold_of[patches.index]).all()
    assert patches.groupby("case_id")["fold"].nunique().max() == 1


def test_the_same_recipe_and_seed_give_the_same_bits(whole: Path, drawn_cohort: Cohort, tmp_path: Path) -> None:
    again = run.start(recipes.from_run(whole), drawn_cohort, tmp_path / "again")
    assert weights(again) == weights(whole)
    pd.testing.assert_frame_equal(rows(again), rows(whole), check_exact=True)
    assert files.read_json(again / "decision.json") == files.read_json(whole / "decision.json")
    other = recipes.with_settings(recipes.from_run(whole), ["seed=1"])
    name, digest = weights(stopped(other, drawn_cohort, tmp_path / "other", 4)).popitem()
    assert weights(whole)[name] != digest


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("quick_checkpoints")
@pytest.mark.parametrize("after", [4, 9])
def test_stopped_after_an_epoch_and_resumed_is_as_never_stopped(
    whole: Path, drawn_cohort: Cohort, tmp_path: Path, after: int
) -> None:
    folder = stopped(recipes.from_run(whole), drawn_cohort, tmp_path / "stopped", after)
    run.go_on(folder)
    assert weights(folder) == weights(whole)
    pd.testing.assert_frame_equal(rows(folder), rows(whole), check_exact=True)


def stopped(recipe: Recipe, cohort: Cohort, folder: Path, after: int) -> Path:
    """A run that is stopped when it tells its line number `after`, before the checkpoint of that epoch is written."""
    seen = 0

    def told(line: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        if seen == after:
            raise Stopped

    with pytest.raises(Stopped):
        run.start(recipe, cohort, folder, told=told)
    assert not (folder / "DONE").exists()
    return folder


KINDS: dict[str, dict[str, Any]] = {
    "muon": {"optimiser": "muon"},
    "batch norm": {"backbone": "resnet10"},  # its kernels and their moments lie channels last
    "patience": {"patience": 1, "schedule": "plateau(0.5, 0)", "folds": "2", "refit": 0},
}


@pytest.mark.usefixtures("quick_checkpoints")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_state_is_resumed(drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path, kind: str) -> None:
    few = drawn_cohort.take(drawn_cohort.rows.index < 16)
    small = {"objective": "soft_bce", "mixup": 0.0, "flag": 0, "folds": "none", "refit": 1}
    recipe = dataclasses.replace(tiny, **(small | KINDS[kind]))
    never = run.start(recipe, few, tmp_path / "never")
    folder = stopped(recipe, few, tmp_path / "stopped", 2)
    assert list(folder.rglob("checkpoint.safetensors"))
    run.go_on(folder)
    assert weights(folder) == weights(never)


KILLED = """
import sys
from pathlib import Path
from mitotype.fit import checkpoint, run
checkpoint.Keeper.__init__.__defaults__ = (0.0,)
run.go_on(Path(sys.argv[1]))
"""


def test_killed_again_and_again_and_resumed_is_as_never_stopped(
    whole: Path, drawn_cohort: Cohort, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    with pytest.raises(Stopped):
        run.start(recipes.from_run(whole), drawn_cohort, folder, told=lambda line: (_ for _ in ()).throw(Stopped))
    environment = {**os.environ, "OMP_NUM_THREADS": str(files.read_json(folder / "run.json")["threads"])}
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
    run.go_on(folder)
    assert weights(folder) == weights(whole)
    pd.testing.assert_frame_equal(rows(folder), rows(whole), check_exact=True)


def test_members_trained_side_by_side_are_those_trained_in_turn(
    whole: Path, drawn_cohort: Cohort, tmp_path: Path
) -> None:
    folder, told = tmp_path / "crew", []
    with pytest.raises(Stopped):
        run.start(recipes.from_run(whole), drawn_cohort, folder, told=lambda line: (_ for _ in ()).throw(Stopped))
    files.write_json(folder / "run.json", files.read_json(folder / "run.json") | {"workers": 2})
    run.go_on(folder, told=told.append)
    assert weights(folder) == weights(whole)
    pd.testing.assert_frame_equal(rows(folder), rows(whole), check_exact=True)
    assert {line["member"] for line in told} == set(weights(whole))


def test_a_mistake_in_a_worker_stops_the_crew(drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "crew"
    hot = dataclasses.replace(tiny, lr=9e5, weight_decay=0.0, ema_decay=0.0, warmup_epochs=0.0)
    with pytest.raises(Stopped):
        run.start(hot, drawn_cohort, folder, told=lambda line: (_ for _ in ()).throw(Stopped))
    files.write_json(folder / "run.json", files.read_json(folder / "run.json") | {"workers": 2})
    with pytest.raises(Mistake, match="not finite"):
        run.go_on(folder)


def test_a_taken_folder_and_changed_pictures_are_mistakes(whole: Path, drawn_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="already holds a run"):
        run.start(recipes.from_run(whole), drawn_cohort, whole)
    with pytest.raises(Stopped):
        run.start(
            recipes.from_run(whole), drawn_cohort, tmp_path / "a", told=lambda line: (_ for _ in ()).throw(Stopped)
        )
    patches = files.read_table(tmp_path / "a" / "patches.parquet")
    patches.loc[0, "digest"] = "0" * 64
    files.write_table(tmp_path / "a" / "patches.parquet", patches)
    with pytest.raises(Mistake, match="have changed"):
        run.go_on(tmp_path / "a")


def test_a_run_of_relative_paths_goes_on_from_elsewhere(
    drawn_cohort: Cohort, tiny: Recipe, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = drawn_cohort.rows.assign(path=[Path(path).name for path in drawn_cohort.rows["path"]])
    home = Path(drawn_cohort.rows["path"][0]).parent
    given.to_csv(tmp_path / "list.csv", index=False)
    for path in given["path"]:
        (tmp_path / path).symlink_to(home / path)
    (tmp_path / "before").symlink_to(whole)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    [cohort] = datasets.read("list.csv", part="train")
    recipe = dataclasses.replace(tiny, init_from="before", objective="soft_bce")
    run.prepare(recipe, cohort, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    told = files.read_json(tmp_path / "run" / "run.json")
    assert told["recipe"]["init_from"] == str(tmp_path / "before")
    patches, _ = run.opened(tmp_path / "run", told, recipe)
    assert patches["path"][0] == str(tmp_path / "0.png")


@pytest.mark.parametrize("change", ["one class", "no label"])
def test_data_that_cannot_be_trained_on(drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path, change: str) -> None:
    rows = drawn_cohort.rows.copy()
    rows["label"] = 0.0 if change == "one class" else float("nan")
    with pytest.raises(Mistake, match=r"one class|no label"):
        run.start(tiny, Cohort("bad", rows), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("column", "objective", "word"),
    [
        ("expert_votes", "soft_bce + 0.2 * expert", "nothing that the term 'expert'"),
        ("sub_label_1", "soft_bce + 0.2 * sub_label", "nothing that the term 'sub_label'"),
        ("expert_votes", "soft_bce + 0.2 * descriptor(24)", r"write descriptor\(219\)"),
    ],
)
def test_what_a_term_lacks_is_told_before_the_folder_is_taken(
    drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path, column: str, objective: str, word: str
) -> None:
    cohort = Cohort("poor", drawn_cohort.rows.drop(columns=column))
    with pytest.raises(Mistake, match=word):
        run.prepare(dataclasses.replace(tiny, objective=objective), cohort, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_is_a_mistake(drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="not finite"):
        run.start(
            dataclasses.replace(tiny, lr=9e5, weight_decay=0.0, ema_decay=0.0, epochs=20),
            drawn_cohort,
            tmp_path / "hot",
        )


def test_the_tiny_net_learns_what_was_drawn(whole: Path, drawn_cohort: Cohort, tmp_path: Path, tiny: Recipe) -> None:
    """A few epochs on pictures that differ plainly already rank better than chance; a floor, not a result."""
    longer = dataclasses.replace(tiny, epochs=12, mixup=0.0, objective="soft_bce", lr=3e-3, flag=0)
    folder = run.start(longer, drawn_cohort, tmp_path / "longer")
    scores = table.read(folder)
    from sklearn.metrics import roc_auc_score

    joined = scores.joined(scores.scores.groupby(["patch_id", "part"], as_index=False)["logit"].mean())
    assert roc_auc_score(joined["label"], joined["logit"]) > 0.7
