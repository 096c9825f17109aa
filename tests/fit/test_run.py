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
    other = run.start(recipes.with_settings(recipes.from_run(whole), ["seed=1"]), drawn_cohort, tmp_path / "other")
    assert weights(other) != weights(whole)


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("quick_checkpoints")
@pytest.mark.parametrize("after", [1, 2, 4, 9])
def test_stopped_after_an_epoch_and_resumed_is_as_never_stopped(
    whole: Path, drawn_cohort: Cohort, tmp_path: Path, after: int
) -> None:
    seen = 0

    def told(line: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        if seen == after:
            raise Stopped

    with pytest.raises(Stopped):
        run.start(recipes.from_run(whole), drawn_cohort, tmp_path / "stopped", told=told)
    assert not (tmp_path / "stopped" / "DONE").exists()
    run.go_on(tmp_path / "stopped")
    assert weights(tmp_path / "stopped") == weights(whole)
    pd.testing.assert_frame_equal(rows(tmp_path / "stopped"), rows(whole), check_exact=True)


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
    for moment_s in (0.3, 0.9, 0.1, 1.7):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=environment)
        deadline = time.monotonic() + 60
        while not (folder / "log.jsonl").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(moment_s + 3)
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


@pytest.mark.parametrize("change", ["one class", "no label"])
def test_data_that_cannot_be_trained_on(drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path, change: str) -> None:
    rows = drawn_cohort.rows.copy()
    rows["label"] = 0.0 if change == "one class" else float("nan")
    with pytest.raises(Mistake, match=r"one class|no label"):
        run.start(tiny, Cohort("bad", rows), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_a_loss_that_is_not_finite_is_a_mistake(drawn_cohort: Cohort, tiny: Recipe, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="not finite"):
        run.start(
            dataclasses.replace(tiny, lr=9e5, weight_decay=0.0, ema_decay=0.0, epochs=20),
            drawn_cohort,
            tmp_path / "hot",
        )


def test_the_tiny_net_learns_what_was_drawn(whole: Path, drawn_cohort: Cohort, tmp_path: Path, tiny: Recipe) -> None:
    """Three epochs on pictures that differ plainly already rank better than chance; a floor, not a result."""
    longer = dataclasses.replace(tiny, epochs=25, mixup=0.0, objective="soft_bce", lr=3e-3)
    folder = run.start(longer, drawn_cohort, tmp_path / "longer")
    scores = table.read(folder)
    from sklearn.metrics import roc_auc_score

    joined = scores.joined(scores.scores.groupby(["patch_id", "part"], as_index=False)["logit"].mean())
    assert roc_auc_score(joined["label"], joined["logit"]) > 0.8
