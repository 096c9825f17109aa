"""Runs and bundles that version 0.1.0 wrote are read, and their numbers are unchanged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.golden import fixtures, shipped
from tests.golden.cohorts import SMALLEST, held_out
from tests.golden.numbers import CLOSE, EXACT, assert_close, differences
from tests.golden.package import Cohort, DecisionRecord, from_run, recipes, records, run, table, validate_recipe

pytestmark = pytest.mark.usefixtures("one_thread", "nets")
FIELDS = {  # of the recipe of run/, as it was written
    "backbone": SMALLEST, "size_px": 64, "tta": "flip", "objective": "soft_bce + 0.2 * expert", "epochs": 40, "batch": 8,
    "lr": 0.01, "seed": 4, "folds": "2", "n_final_models": 1, "precision": "fp32", "calibration": "platt",
}  # fmt: skip


@pytest.mark.parametrize("name", fixtures.NAMES)
def test_a_run_and_a_bundle_predict_the_same(name: str, golden_cohort: Cohort) -> None:
    current = shipped.predictions(str(fixtures.FOLDER / name), fixtures.sample(golden_cohort))
    assert_close(f"v0_1_0_{name}.json", current, **CLOSE)


def test_a_run_is_evaluated_the_same() -> None:
    assert_close("v0_1_0_evaluation.json", fixtures.evaluation(), **EXACT)


def test_a_run_scores_the_same(golden_cohort: Cohort) -> None:
    current = shipped.logits(str(fixtures.FOLDER / "run"), held_out(golden_cohort))
    assert not differences(fixtures.stored_logits(), current, **CLOSE)


def test_the_recipe_of_a_run_is_read() -> None:
    recipe = recipes.read_recipe(fixtures.FOLDER / "run")
    validate_recipe(recipe)
    assert {field: getattr(recipe, field) for field in FIELDS} == FIELDS


def test_a_run_is_finished_and_bundled_again(golden_cohort: Cohort, tmp_path: Path) -> None:
    run_dir = shutil.copytree(fixtures.FOLDER / "run", tmp_path / "run")
    assert run.resume(run_dir) == run_dir
    bundle = from_run.bundle_from_run(run_dir, tmp_path / "bundle", name="tiny")
    assert_close("v0_1_0_bundle.json", shipped.predictions(str(bundle), fixtures.sample(golden_cohort)), **CLOSE)


def test_a_run_is_complete() -> None:
    run_dir = fixtures.FOLDER / "run"
    assert len(table.read(run_dir).patches) == 64
    assert len(records.read(run_dir / "decision.json", DecisionRecord).digests) == 39
    assert len((run_dir / "openings.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    for file in ("DONE", "log.jsonl", "unlike.json", "evaluation.json", "evaluation-out-of-fold.json"):
        assert (run_dir / file).is_file()
