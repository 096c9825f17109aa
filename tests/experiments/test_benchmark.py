"""A benchmark that is stopped and resumed ends with the same table, whose numbers are those of `evaluation`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from mitotype import evaluation
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, read_ledger
from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import NOTICE, NOTICE_LONG, TEST, Cohort
from mitotype.datasets import published
from mitotype.datasets.dataset import Part, StudyResult, datasets
from mitotype.experiments import benchmark, render, results
from mitotype.experiments.plan import BenchmarkConfig
from mitotype.experiments.results import Table
from mitotype.fit import member
from mitotype.jobs.task import Callbacks
from mitotype.scores import table
from mitotype.scores.decision import Decision
from tests.benchmark_cohorts import MakeConfig, recipe_of, score_tests

pytestmark = pytest.mark.usefixtures("one_thread")
TABLES = ("table.csv", "table.json", "table.md", "table.html")


class Stopped(Exception):
    pass


def stop_after(n_lines: int) -> Callbacks:
    lines: list[LogLine] = []

    def stop(line: LogLine) -> None:
        lines.append(line)
        if len(lines) == n_lines:
            raise Stopped

    return Callbacks(stop)


@pytest.fixture(scope="module")
def finished(toy_cohort: Cohort, test_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark that was never stopped."""
    out = tmp_path_factory.mktemp("benchmark")
    config = BenchmarkConfig(
        out=out, backbones=("d4resnet-tiny", "resnet10"), adaptations=("probe", "full"), recipe_of=recipe_of,
        cohort=toy_cohort, tests=(test_cohort,), device="cpu", n_boot=200, title="small nets <from> random weights",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(out / "cache"))
        benchmark.resume(benchmark.prepare(config), score_tests)
    return out


def test_one_row_for_each_cell_and_the_baseline_first(finished: Path) -> None:
    table = pd.read_csv(finished / "table.csv")
    assert list(table["backbone"]) == ["morphology", "d4resnet-tiny", "resnet10"]
    assert list(table["regime"]) == ["floor", "end to end", "end to end"]
    assert list(table["weights"].fillna("")) == ["none", "random", "random"]
    assert set(table["test_set"]) == {"measured"}
    assert list(table["members"]) == [2, 2, 2]
    assert (table["files"] == 24).all()
    assert (table["images"] == 23).all()
    assert table["published_ba"].isna().all()
    assert table["parameters"].iloc[2] > 4e6
    table_json = json.loads((finished / "table.json").read_text())
    assert [skipped["backbone"] for skipped in table_json["skipped"]] == ["d4resnet-tiny", "resnet10"]
    assert "no weights" in table_json["skipped"][0]["reason"]
    assert table_json["pending"] == []


def test_the_numbers_are_those_of_evaluation(finished: Path) -> None:
    """Compare with `evaluate` on the same rows, and with the protocol of the study written out."""
    run = finished / "runs" / "d4resnet-tiny-full"
    scores = table.read(run)
    row = pd.read_csv(finished / "table.csv").set_index("backbone").loc["d4resnet-tiny"]
    result = evaluation.evaluate(scores, records.read(run / "decision.json", Decision), n_boot=200)
    entry = result.entry("measured")
    assert entry is not None
    ba, auroc = entry.headline.metrics["balanced_accuracy"], entry.headline.metrics["auroc"]
    expected = [ba.value, ba.low, ba.high, auroc.value, auroc.low, auroc.high, result.decision.threshold.value]
    names = [f"ensemble_{metric}{bound}" for metric in ("ba", "auroc") for bound in ("", "_low", "_high")]
    assert [row[name] for name in (*names, "threshold")] == pytest.approx(np.array(expected, float), nan_ok=True)
    out_of_fold = result.entry("drawn", "out-of-fold")
    assert out_of_fold is not None
    assert row["out_of_fold_ba"] == pytest.approx(out_of_fold.headline.metrics["balanced_accuracy"].value)
    assert row["out_of_fold_auroc"] == pytest.approx(out_of_fold.headline.metrics["auroc"].value)

    label = scores.patches.set_index("patch_id")["label"].astype(float)
    test = scores.scores[scores.scores["part"] == TEST]
    metrics = [
        {
            "ba": balanced_accuracy_score(label[member["patch_id"]], member["logit"] >= 0),
            "auroc": roc_auc_score(label[member["patch_id"]], member["logit"]),
        }
        for _, member in test.groupby("member")
    ]
    expected_means = pd.DataFrame(metrics)
    assert row["member_ba"] == pytest.approx(expected_means["ba"].mean())
    assert row["member_ba_sd"] == pytest.approx(expected_means["ba"].std(ddof=0))
    assert row["member_auroc"] == pytest.approx(expected_means["auroc"].mean())
    assert row["member_auroc_sd"] == pytest.approx(expected_means["auroc"].std(ddof=0))


def test_pages_have_the_notices_and_escape_texts(finished: Path) -> None:
    html, markdown = (finished / "table.html").read_text(), (finished / "table.md").read_text()
    assert NOTICE in html.partition("<main>")[0]
    assert NOTICE_LONG in html.partition("</main>")[2]
    assert "small nets &lt;from&gt; random weights" in html
    assert "no weights to adapt" in html
    assert "://" not in html
    assert "<script" not in html
    assert NOTICE_LONG in markdown
    assert "| morphology, floor | none |" in markdown
    assert str(finished) not in html + markdown


def test_openings_are_recorded_twice_and_no_row_is_scored_again(finished: Path, make_config: MakeConfig) -> None:
    openings = read_ledger(finished)
    assert [opening.model for opening in openings] == ["morphology-probe", "d4resnet-tiny-full", "resnet10-full"]
    assert {(opening.dataset, opening.patches) for opening in openings} == {("measured", 24)}
    assert len(read_ledger(finished / "runs" / "resnet10-full")) == 1
    before = {name: (finished / name).read_bytes() for name in TABLES}
    plan = benchmark.prepare(
        make_config(finished, adaptations=("probe", "full"), title="small nets <from> random weights")
    )
    assert plan.tasks() == []

    def fail(run_dir: Path, cohorts: Sequence[Cohort]) -> None:
        raise AssertionError(run_dir)

    benchmark.resume(plan, fail)
    assert {name: (finished / name).read_bytes() for name in TABLES} == before


@pytest.mark.parametrize("after", [2, 4])
def test_stopped_and_resumed_training_gives_the_same_table(
    finished: Path, make_config: MakeConfig, tmp_path: Path, after: int
) -> None:
    config = make_config(tmp_path, adaptations=("probe", "full"), title="small nets <from> random weights")
    with pytest.raises(Stopped):
        benchmark.resume(benchmark.prepare(config), score_tests, stop_after(after))
    plan = benchmark.prepare(config)
    expected = len(plan.tasks())
    assert 0 < expected < 6
    lines: list[LogLine] = []
    done: list[int] = []
    benchmark.resume(plan, score_tests, Callbacks(lines.append, done.append))
    assert sum(done) == expected
    assert plan.tasks() == []
    assert {line.jobs for line in lines} == {6}
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_stopped_and_resumed_scoring_gives_the_same_table(
    finished: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(tmp_path, adaptations=("probe", "full"), title="small nets <from> random weights")

    def stop(run_dir: Path, cohorts: Sequence[Cohort]) -> None:
        if run_dir.name.startswith("d4"):
            raise Stopped
        score_tests(run_dir, cohorts)

    with pytest.raises(Stopped):
        benchmark.resume(benchmark.prepare(config), stop)
    partial = json.loads((tmp_path / "table.json").read_text())
    assert [row["backbone"] for row in partial["rows"]] == ["morphology"]
    assert partial["pending"] == ["d4resnet-tiny, full", "resnet10, full"]
    assert "Still to be trained" in (tmp_path / "table.html").read_text()
    benchmark.resume(benchmark.prepare(config), score_tests)
    assert (tmp_path / "table.csv").read_bytes() == (finished / "table.csv").read_bytes()


def test_another_configuration_is_refused(finished: Path, make_config: MakeConfig) -> None:
    with pytest.raises(UserError, match=r"contains another benchmark: hold_out was"):
        benchmark.prepare(make_config(finished, adaptations=("probe", "full"), hold_out=("elsewhere",)))
    with pytest.raises(UserError, match=r"contains another benchmark: lr "):
        benchmark.prepare(make_config(finished, adaptations=("probe", "full"), options={"lr": 1}))


def test_a_failed_cell_does_not_stop_the_others(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, fit_member = make_config(tmp_path, backbones=("resnet10",), workers=1), member.fit_member

    def fail(run_dir: Path, *args: Any) -> None:
        if run_dir.name.startswith("resnet10"):
            raise UserError("The loss is not finite.", fix="a smaller rate")
        fit_member(run_dir, *args)

    with monkeypatch.context() as patch:
        patch.setattr(member, "fit_member", fail)
        table = benchmark.resume(benchmark.prepare(config), score_tests)
    assert ([row.backbone for row in table.rows], table.pending) == (["morphology"], ())
    with pytest.raises(
        UserError, match=r"1 of the cells failed(.|\n)*resnet10, full: The loss is not finite.\n  a smaller rate"
    ):
        table.raise_failures()
    assert "## Failed\n- resnet10, full: The loss is not finite." in (tmp_path / "table.md").read_text()
    assert "Why it failed" in (tmp_path / "table.html").read_text()
    assert json.loads((tmp_path / "table.json").read_text())["failed"][0]["backbone"] == "resnet10"
    table = benchmark.resume(benchmark.prepare(config), score_tests)
    assert ([row.backbone for row in table.rows], table.failed) == (["morphology", "resnet10"], ())
    table.raise_failures()


def test_cells_can_be_added_and_removed(make_config: MakeConfig, tmp_path: Path) -> None:
    benchmark.prepare(make_config(tmp_path, backbones=("resnet10",)))
    grown = benchmark.prepare(make_config(tmp_path))
    assert [run.cell.backbone for run in grown.runs] == ["morphology", "d4resnet-tiny", "resnet10"]
    shrunk = benchmark.prepare(make_config(tmp_path, backbones=("d4resnet-tiny",)))
    assert [run.cell.backbone for run in shrunk.runs] == ["morphology", "d4resnet-tiny"]
    assert json.loads((tmp_path / "benchmark.json").read_bytes())["backbones"] == ["d4resnet-tiny"]


def test_a_benchmark_begun_on_a_gpu_goes_on_without_one(make_config: MakeConfig, tmp_path: Path) -> None:
    plan = benchmark.prepare(make_config(tmp_path))
    path = plan.runs[1].dir / "run.json"
    started = json.loads(path.read_bytes()) | {"device": "cuda"}
    records.write(path, started)
    benchmark.prepare(make_config(tmp_path, device="auto"))
    assert json.loads(path.read_bytes()) == started
    with pytest.warns(UserWarning, match="begun on cuda, continued on cpu"):
        benchmark.prepare(make_config(tmp_path, device="cpu"))
    assert json.loads(path.read_bytes())["device"] == "cpu"
    assert plan.notes() == ["begun on cuda, continued on cpu"]


def test_notes_on_licenses_and_optimistic_numbers(make_config: MakeConfig, tmp_path: Path) -> None:
    patient = lambda b, a: dataclasses.replace(recipe_of(b, a), patience=int(b == "resnet10"))  # noqa: E731
    plan = benchmark.prepare(make_config(tmp_path, recipe_of=patient))
    path = plan.runs[1].dir / "run.json"
    records.write(path, json.loads(path.read_bytes()) | {"notes": ["the weights allow no commercial use"]})
    table = Table.of(plan, {}, {})
    assert plan.notes() == ["the weights allow no commercial use"]
    assert "numbers and thresholds of resnet10, full are optimistic: early stopping" in table.notes[-1]
    for text in (render.markdown(table), render.html(table), render.plain(table)):
        assert all(note in text for note in table.notes)


def test_pages_have_members_thresholds_and_all_files(finished: Path) -> None:
    row = json.loads((finished / "table.json").read_text())["rows"][0]
    all_files, threshold = f"all files {row['all_files_ba']:.3f}", f"{row['threshold']:.3f}"
    line = next(line for line in (finished / "table.md").read_text().splitlines() if line.startswith("| morphology"))
    assert ", 2 |" in line
    assert all_files in line
    assert f", {threshold} |" in line
    text = (finished / "table.html").read_text()
    assert all_files in text
    assert f"threshold {threshold}" in text


def test_a_run_with_another_recipe_or_other_images_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    plan = benchmark.prepare(make_config(tmp_path))
    other_lr = lambda b, a: dataclasses.replace(recipe_of(b, a), lr=0.5)  # noqa: E731
    with pytest.raises(UserError, match=r"another recipe: lr is 0.001, not 0.5"):
        benchmark.prepare(make_config(tmp_path, recipe_of=other_lr))
    path = plan.runs[0].dir / "run.json"
    metadata = json.loads(path.read_bytes())
    records.write(path, metadata | {"data": metadata["data"] | {"digest": "0" * 64}})
    with pytest.raises(UserError, match="other images"):
        benchmark.prepare(make_config(tmp_path))


def test_a_leak_is_reported_before_training(make_config: MakeConfig, toy_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"M004"):
        benchmark.prepare(make_config(tmp_path, tests=(toy_cohort,)))
    assert not (tmp_path / "runs").exists()


def test_a_row_contains_the_published_numbers(
    finished: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = PublishedResult("Measured", 24, 0.8, 0.9, "a", "b", 0.7, 0.7, 0.8)
    study = {"full": {"resnet10": StudyResult(0.71, 0.02, 0.82, 0.03, (0.7, 0.72))}}
    part = Part(split="all", is_test_set=True, published=known, study=study, study_source="A journal")
    measured = dataclasses.replace(datasets.get("folder"), parts={"measured": part})
    monkeypatch.setitem(datasets._items, "measured", measured)
    runs = [
        run
        for run in benchmark.prepare(make_config(finished, adaptations=("probe", "full"))).runs
        if run.cell.backbone != "morphology"
    ]
    small, larger = (results.rows(run, ["measured"], (), n_boot=100)[0] for run in runs)
    assert small.published_ba is None
    numbers = (larger.published_ba, larger.published_ba_sd, larger.published_auroc, larger.published_auroc_sd)
    assert numbers == (0.71, 0.02, 0.82, 0.03)
    assert "| 0.710 ± 0.020 (folds 1 … 5: 0.7000 0.7200) |" in render.markdown_rows([larger])
    assert published.title("measured", 24) == "Measured" and published.title("measured", 23) == "measured"
    assert published.study_sources(["measured", "elsewhere"]) == ["A journal"]
