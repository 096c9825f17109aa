"""Scores, their decision and their report belong to what was scored; unfinished ones are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from mitotype.api import scoring
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import Opening, append_opening, names, read_ledger, read_run
from mitotype.core.schema import Cohort
from mitotype.deploy.bundle import shipped
from mitotype.deploy.from_run import bundle_from_run
from mitotype.evaluation.report.html import render_report
from tests.robustness.commands import write_images


@pytest.fixture
def run_dir(finished_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Return two test sets."""
    for seed in (5, 6):
        write_images(tmp_path / f"test{seed}", 8, seed)
    return [str(tmp_path / "test5"), str(tmp_path / "test6")]


@pytest.fixture
def csv(run_dir: Path, toy_cohort: Cohort) -> Path:
    """Return scores of somebody else in the folder of a run."""
    rows = toy_cohort.rows
    score = np.where(rows["label"] == 1, 0.9, 0.1)
    table = pd.DataFrame(
        {"patch_id": rows["patch_id"], "label": rows["label"], "case_id": rows["case_id"], "score": score}
    )
    table.to_csv(run_dir / "theirs.csv", index=False)
    return run_dir / "theirs.csv"


def test_the_report_of_a_csv_is_named_after_it_and_has_nothing_of_the_run(run_dir: Path, csv: Path) -> None:
    append_opening(run_dir, Opening(date="2026", model="run", dataset="x", patches=1, digest="0" * 16))
    evaluation = scoring.evaluate(csv, n_boot=50)
    assert (evaluation.about.openings, evaluation.about.digests, evaluation.about.held_out) == ([], {}, [])
    assert scoring.report_path(csv) == run_dir / "theirs.report.html"
    scoring.check_report(scoring.report_path(csv), csv)
    evaluation.write_report(scoring.report_path(csv))
    assert not (run_dir / names.REPORT).exists() and not (run_dir / names.EVALUATION).exists()
    assert (run_dir / "theirs.evaluation.json").is_file()


def test_the_report_of_a_run_has_its_notes(run_dir: Path) -> None:
    record = msgspec.structs.replace(read_run(run_dir), notes=["trained on <b>an odd</b> scale"])
    records.write(run_dir / names.RUN, record)
    evaluation = scoring.evaluate(run_dir, part="out-of-fold", n_boot=20)
    assert "trained on <b>an odd</b> scale" in evaluation.notes
    assert "trained on &lt;b&gt;an odd" in render_report(evaluation, n_errors=0)


@pytest.mark.parametrize(
    "name",
    ["run.html", "decision.html", "ood.html", "theirs.csv", "report.html", "report-out-of-fold.html", "notes.html"],
)
def test_a_report_replaces_no_file_of_the_run_and_none_of_others(run_dir: Path, csv: Path, name: str) -> None:
    (run_dir / "notes.json").write_text('{"mine": 1}')
    with pytest.raises(UserError):
        scoring.check_report(run_dir / name, csv)
    if name != "report.html":
        with pytest.raises(UserError):
            scoring.check_report(run_dir / name, run_dir)
    scoring.check_report(run_dir / "mine.html", csv)


def test_a_report_of_one_part_does_not_take_the_name_of_the_other(run_dir: Path) -> None:
    scoring.check_report(run_dir / names.REPORT_OUT_OF_FOLD, run_dir, part="out-of-fold")
    with pytest.raises(UserError, match="report of other scores"):
        scoring.check_report(run_dir / names.REPORT, run_dir, part="out-of-fold")


def test_a_run_that_is_not_finished_is_not_evaluated(run_dir: Path) -> None:
    (run_dir / names.DONE).unlink()
    with pytest.raises(UserError, match="is not finished"):
        scoring.evaluate(run_dir, part="out-of-fold", n_boot=50)
    with pytest.raises(UserError, match="is not finished"):
        scoring.compare(run_dir, run_dir, n_boot=50)


def test_scores_have_their_decision_before_they_have_rows(
    run_dir: Path, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, out = bundle_from_run(run_dir, tmp_path / "bundle"), tmp_path / "scores"
    append = scoring.table.append

    def killed(folder: Path, scores: scoring.Scores) -> None:
        assert (folder / names.DECISION).is_file()
        if (folder / names.SCORES).is_file():
            raise KeyboardInterrupt
        append(folder, scores)

    monkeypatch.setattr(scoring.table, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        scoring.score(bundle, data, out=out)
    with pytest.raises(UserError, match=r"was stopped(.|\n)*mitotype score .*--on"):
        scoring.evaluate(out, n_boot=50)
    monkeypatch.undo()
    scoring.score(bundle, data, out=out)
    assert len(scoring.evaluate(out, n_boot=50).entries) == 2
    assert [opening.dataset for opening in read_ledger(out)] == ["test5", "test6"]  # once each


def test_scores_of_two_classifiers_are_not_mixed(run_dir: Path, data: list[str], tmp_path: Path) -> None:
    scoring.score(run_dir, data[:1], out=tmp_path / "scores")
    with pytest.raises(UserError, match="another classifier"):
        scoring.score(shipped()["morphology"], data[:1], out=tmp_path / "scores")
    for folder in (shutil.copytree(run_dir, tmp_path / "other"), bundle_from_run(run_dir, tmp_path / "bundle")):
        with pytest.raises(UserError, match="already contains a"):
            scoring.score(run_dir, data[:1], out=folder)
    with pytest.raises(UserError, match="is an input"):
        scoring.score(run_dir, data[:1], out=Path(data[0]))


def test_a_run_that_scores_elsewhere_has_the_opening_too(run_dir: Path, data: list[str], tmp_path: Path) -> None:
    out = tmp_path / "scores"
    scoring.score(run_dir, data[:1], out=out)
    assert read_ledger(out) == read_ledger(run_dir) != []
    with pytest.raises(UserError, match="the data beside it would not be read"):
        scoring.evaluate(out, data[:1])


def test_datasets_that_share_slides_are_refused_in_a_table_too() -> None:
    rows = pd.DataFrame(
        {
            "patch_id": [f"p{i}" for i in range(40)], "dataset": ["midog25"] * 20 + ["atnorm-md"] * 20,
            "part": ["out-of-fold"] * 20 + ["test"] * 20, "case_id": [f"c{i // 2}" for i in range(40)],
            "label": [0, 1] * 20, "score": np.linspace(0.01, 0.99, 40),
        }
    )  # fmt: skip
    with pytest.raises(UserError, match="M006"):
        scoring.evaluate(rows, n_boot=50)
    with pytest.raises(UserError, match=r"has no out-of-fold rows(.|\n)*in a column part"):
        scoring.evaluate(rows[rows["part"] == "test"].drop(columns="part"), part="out-of-fold")


def test_an_opening_is_recorded_again_for_a_model_that_was_trained_again(tmp_path: Path) -> None:
    opening = Opening(date="2026-01-01T00:00:00+00:00", model="run", dataset="x", patches=1, digest="0" * 16)
    for finished in ("", "2025-12-31T00:00:00+00:00", "2026-01-02T00:00:00+00:00"):
        append_opening(tmp_path, opening, model_finished=finished)
    assert len(read_ledger(tmp_path)) == 2


def test_half_a_line_of_a_ledger_is_ignored_and_other_damage_is_named(tmp_path: Path) -> None:
    opening = Opening(date="2026", model="run", dataset="x", patches=1, digest="0" * 16)
    append_opening(tmp_path, opening)
    ledger = tmp_path / names.LEDGER
    ledger.write_text(ledger.read_text() + '{"date": "2026", "mod')
    assert read_ledger(tmp_path) == [opening]
    ledger.write_text('{"date": "2026", "mod' + ledger.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"Line 1 of the ledger '.*openings\.jsonl'"):
        read_ledger(tmp_path)
