"""A benchmark: stopped and resumed it ends with the same table, whose numbers are those of the room `evaluation`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import NOTICE, NOTICE_LONG, TEST, Cohort
from mitotype.jobs import benchmark, page
from mitotype.jobs.benchmark import Asked
from mitotype.jobs.where import Listener
from tests.jobs.conftest import recipe_of, score

pytestmark = pytest.mark.usefixtures("one_thread")
Ask = Callable[..., Asked]
TABLES = ("table.csv", "table.json", "table.md", "table.html")


class Stopped(Exception):
    pass


def stop_after(lines: int) -> Listener:
    seen = 0

    def told(line: dict[str, Any]) -> None:
        nonlocal seen
        seen += 1
        if seen == lines:
            raise Stopped

    return Listener(told)


@pytest.fixture(scope="module")
def finished(drawn_cohort: Cohort, measured: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark that was never stopped."""
    out = tmp_path_factory.mktemp("benchmark")
    asked = Asked(
        out=out, backbones=("d4resnet-tiny", "resnet10"), adaptations=("probe", "full"), recipe_of=recipe_of,
        cohort=drawn_cohort, tests=(measured,), device="cpu", draws=200, title="small nets <from> random weights",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(out / "cache"))
        benchmark.go_on(benchmark.prepare(asked), score)
    return out


def test_one_row_for_each_cell_the_floor_first(finished: Path) -> None:
    table = pd.read_csv(finished / "table.csv")
    assert list(table["backbone"]) == ["morphology", "d4resnet-tiny", "resnet10"]
    assert list(table["regime"]) == ["floor", "end to end", "end to end"]
    assert list(table["weights"].fillna("")) == ["none", "random", "random"]
    assert set(table["test_set"]) == {"measured"}
    assert list(table["members"]) == [2, 2, 2]
    assert (table["files"] == 24).all()
    assert (table["pictures"] == 23).all()
    assert table["published_ba"].isna().all()
    assert table["parameters"].iloc[2] > 4e6
    told = json.loads((finished / "table.json").read_text())
    assert [one["backbone"] for one in told["left_out"]] == ["d4resnet-tiny", "resnet10"]
    assert "no weights" in told["left_out"][0]["reason"]
    assert told["pending"] == []


def test_the_numbers_are_those_of_evaluation(finished: Path) -> None:
    """The same rows judged by `evaluate`, and the protocol of the study worked out by hand."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    from mitotype import evaluation
    from mitotype.scores import table
    from mitotype.scores.decision import Decision

    run = finished / "runs" / "d4resnet-tiny-full"
    scores = table.read(run)
    row = pd.read_csv(finished / "table.csv").set_index("backbone").loc["d4resnet-tiny"]
    found = evaluation.evaluate(scores, Decision.from_dict(files.read_json(run / "decision.json")), draws=200)
    entry = found.entry("measured")
    assert entry is not None
    ba, auroc = entry.headline.metrics["balanced_accuracy"], entry.headline.metrics["auroc"]
    expected = [ba.value, ba.low, ba.high, auroc.value, auroc.low, auroc.high, found.decision.threshold.value]
    named = [
        "ensemble_ba",
        "ensemble_ba_low",
        "ensemble_ba_high",
        "ensemble_auroc",
        "ensemble_auroc_low",
        "ensemble_auroc_high",
    ]
    assert [row[name] for name in (*named, "threshold")] == pytest.approx(expected, nan_ok=True)
    left = found.entry("drawn", "out-of-fold")
    assert left is not None
    assert row["out_of_fold_ba"] == pytest.approx(left.headline.metrics["balanced_accuracy"].value)
    assert row["out_of_fold_auroc"] == pytest.approx(left.headline.metrics["auroc"].value)

    label = scores.patches.set_index("patch_id")["label"].astype(float)
    test = scores.scores[scores.scores["part"] == TEST]
    each = [
        (
            balanced_accuracy_score(label[m["patch_id"]], m["logit"] >= 0),
            roc_auc_score(label[m["patch_id"]], m["logit"]),
        )
        for _, m in test.groupby("member")
    ]
    by_hand = pd.DataFrame(each, columns=["ba", "auroc"])
    assert row["member_ba"] == pytest.approx(by_hand["ba"].mean())
    assert row["member_ba_sd"] == pytest.approx(by_hand["ba"].std(ddof=0))
    assert row["member_auroc"] == pytest.approx(by_hand["auroc"].mean())
    assert row["member_auroc_sd"] == pytest.approx(by_hand["auroc"].std(ddof=0))


def test_the_pages_say_what_they_must(finished: Path) -> None:
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


def test_every_opening_is_written_twice_and_no_row_is_scored_again(finished: Path, ask: Ask) -> None:
    kept = [json.loads(line) for line in (finished / "openings.jsonl").read_text().splitlines()]
    assert [line["what"] for line in kept] == ["morphology-probe", "d4resnet-tiny-full", "resnet10-full"]
    assert {(line["dataset"], line["patches"]) for line in kept} == {("measured", 24)}
    assert len((finished / "runs" / "resnet10-full" / "openings.jsonl").read_text().splitlines()) == 1
    before = {name: (finished / name).read_bytes() for name in TABLES}
    plan = benchmark.prepare(ask(finished, adaptations=("probe", "full"), title="small nets <from> random weights"))
    assert plan.tasks() == []

    def never(folder: Path, cohorts: Sequence[Cohort]) -> None:
        raise AssertionError(folder)

    benchmark.go_on(plan, never)
    assert {name: (finished / name).read_bytes() for name in TABLES} == before


@pytest.mark.parametrize("after", [2, 4])
def test_stopped_and_resumed_it_ends_with_the_same_table(finished: Path, ask: Ask, tmp_path: Path, after: int) -> None:
    asked = ask(tmp_path, adaptations=("probe", "full"), title="small nets <from> random weights")
    with pytest.raises(Stopped):
        benchmark.go_on(benchmark.prepare(asked), score, stop_after(after))
    plan = benchmark.prepare(asked)
    expected = len(plan.tasks())
    assert 0 < expected < 6
    told: list[dict[str, Any]] = []
    done: list[int] = []
    benchmark.go_on(plan, score, Listener(told.append, done.append))
    assert sum(done) == expected
    assert plan.tasks() == []
    assert {line["jobs"] for line in told} == {6}
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_stopped_while_it_scores_and_resumed(finished: Path, ask: Ask, tmp_path: Path) -> None:
    asked = ask(tmp_path, adaptations=("probe", "full"), title="small nets <from> random weights")

    def stopped(folder: Path, cohorts: Sequence[Cohort]) -> None:
        if folder.name.startswith("d4"):
            raise Stopped
        score(folder, cohorts)

    with pytest.raises(Stopped):
        benchmark.go_on(benchmark.prepare(asked), stopped)
    partial = json.loads((tmp_path / "table.json").read_text())
    assert [row["backbone"] for row in partial["rows"]] == ["morphology"]
    assert partial["pending"] == ["d4resnet-tiny, full", "resnet10, full"]
    assert "Still to be trained" in (tmp_path / "table.html").read_text()
    benchmark.go_on(benchmark.prepare(asked), score)
    assert (tmp_path / "table.csv").read_bytes() == (finished / "table.csv").read_bytes()


def test_another_question_is_refused(finished: Path, ask: Ask) -> None:
    with pytest.raises(Mistake, match=r"holds another benchmark: hold_out was"):
        benchmark.prepare(ask(finished, adaptations=("probe", "full"), hold_out=("elsewhere",)))
    with pytest.raises(Mistake, match=r"holds another benchmark: lr "):
        benchmark.prepare(ask(finished, adaptations=("probe", "full"), more={"lr": 1}))


def test_a_cell_that_fails_lets_the_others_go_on(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mitotype.fit import member

    asked, one = ask(tmp_path, backbones=("resnet10",), workers=1), member.one

    def fails(folder: Path, *words: Any) -> None:
        if folder.name.startswith("resnet10"):
            raise Mistake("The loss is not finite.", fix="a smaller rate")
        one(folder, *words)

    with monkeypatch.context() as patch:
        patch.setattr(member, "one", fails)
        table = benchmark.go_on(benchmark.prepare(asked), score)
    assert ([row.backbone for row in table.rows], table.pending) == (["morphology"], ())
    with pytest.raises(
        Mistake, match=r"1 of the cells failed(.|\n)*resnet10, full: The loss is not finite.\n  a smaller rate"
    ):
        table.check()
    assert "## Failed\n- resnet10, full: The loss is not finite." in (tmp_path / "table.md").read_text()
    assert "Why it failed" in (tmp_path / "table.html").read_text()
    assert json.loads((tmp_path / "table.json").read_text())["failed"][0]["backbone"] == "resnet10"
    table = benchmark.go_on(benchmark.prepare(asked), score)
    assert ([row.backbone for row in table.rows], table.failed) == (["morphology", "resnet10"], ())
    table.check()


def test_a_benchmark_grows_and_shrinks_by_its_cells(ask: Ask, tmp_path: Path) -> None:
    benchmark.prepare(ask(tmp_path, backbones=("resnet10",)))
    grown = benchmark.prepare(ask(tmp_path))
    assert [one.cell.backbone for one in grown.runs] == ["morphology", "d4resnet-tiny", "resnet10"]
    shrunk = benchmark.prepare(ask(tmp_path, backbones=("d4resnet-tiny",)))
    assert [one.cell.backbone for one in shrunk.runs] == ["morphology", "d4resnet-tiny"]
    assert files.read_json(tmp_path / "benchmark.json")["asked"]["backbones"] == ["d4resnet-tiny"]


def test_another_device_is_refused(ask: Ask, tmp_path: Path) -> None:
    benchmark.prepare(ask(tmp_path))
    benchmark.prepare(ask(tmp_path, device="auto"))
    with pytest.raises(Mistake, match="started on 'cpu', not on 'cuda'"):
        benchmark.prepare(ask(tmp_path, device="cuda"))


def test_the_pages_say_what_binds_and_what_flatters(ask: Ask, tmp_path: Path) -> None:
    from mitotype.jobs.table import Table

    patient = lambda b, a: dataclasses.replace(recipe_of(b, a), patience=int(b == "resnet10"))  # noqa: E731
    plan = benchmark.prepare(ask(tmp_path, recipe_of=patient))
    path = plan.runs[1].folder / "run.json"
    files.write_json(path, files.read_json(path) | {"notes": ["the weights allow no commercial use"]})
    table = Table.of(plan, {}, {})
    assert plan.notes() == ["the weights allow no commercial use"]
    assert "numbers and thresholds of resnet10, full come from folds that chose the epoch" in table.notes[-1]
    for text in (page.markdown(table), page.html(table), page.plain(table)):
        assert all(note in text for note in table.notes)


def test_the_pages_tell_members_thresholds_and_all_files(finished: Path) -> None:
    row = json.loads((finished / "table.json").read_text())["rows"][0]
    over_all, threshold = f"all files {row['all_files_ba']:.3f}", f"{row['threshold']:.3f}"
    line = next(line for line in (finished / "table.md").read_text().splitlines() if line.startswith("| morphology"))
    assert ", 2 |" in line
    assert over_all in line
    assert f", {threshold} |" in line
    text = (finished / "table.html").read_text()
    assert over_all in text
    assert f"threshold {threshold}" in text


def test_a_run_of_another_recipe_or_other_pictures_is_refused(ask: Ask, tmp_path: Path) -> None:
    plan = benchmark.prepare(ask(tmp_path))
    hotter = lambda b, a: dataclasses.replace(recipe_of(b, a), lr=0.5)  # noqa: E731
    with pytest.raises(Mistake, match=r"another recipe: lr is 0.001, not 0.5"):
        benchmark.prepare(ask(tmp_path, recipe_of=hotter))
    path = plan.runs[0].folder / "run.json"
    told = files.read_json(path)
    files.write_json(path, told | {"data": told["data"] | {"digest": "0"}})
    with pytest.raises(Mistake, match="other pictures"):
        benchmark.prepare(ask(tmp_path))


def test_a_leak_is_found_before_anything_is_trained(ask: Ask, drawn_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"M004"):
        benchmark.prepare(ask(tmp_path, tests=(drawn_cohort,)))
    assert not (tmp_path / "runs").exists()


def test_published_means_stand_beside_their_own_net_and_test_set() -> None:
    from mitotype.evaluation.published import STUDY, study_mean, study_nets

    found = study_mean("lora", "virchow2", "amibr-test", "test", 826)
    assert found is not None
    assert dataclasses.astuple(found) == (0.8135, 0.0145, 0.9026, 0.0051)
    last = study_mean("full", "swin-base", "atnorm-md", "test", 2107)
    assert last is not None
    assert (last.balanced_accuracy, last.auroc_sd) == (0.7723, 0.0087)
    assert study_mean("lora", "virchow2", "amibr-test", "test", 800) is None
    assert study_mean("full", "virchow2", "amibr-test", "test", 826) is None
    assert (len(STUDY), len(study_nets())) == (17, 10)
    assert all(len(numbers) == 12 for numbers in STUDY.values())


def test_a_row_takes_up_what_is_published(finished: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from mitotype.evaluation import published
    from mitotype.jobs import table

    known = published.Published("Measured", 24, 0.8, 0.9, "a", "b", 0.7, 0.7, 0.8)
    monkeypatch.setitem(published.PUBLISHED, "measured", known)
    monkeypatch.setattr(published, "STUDY_SETS", ("amibr", "measured"))
    monkeypatch.setitem(published.STUDY, ("full", "resnet10"), (1, 1, 1, 1, 7100, 200, 8200, 300))
    runs = [
        run
        for run in benchmark.prepare(ask(finished, adaptations=("probe", "full"))).runs
        if run.cell.backbone != "morphology"
    ]
    small, larger = (table.rows(run, ["measured"], (), draws=100)[0] for run in runs)
    assert math.isnan(small.published_ba)
    said = (larger.published_ba, larger.published_ba_sd, larger.published_auroc, larger.published_auroc_sd)
    assert said == (0.71, 0.02, 0.82, 0.03)
    assert "| 0.710 ± 0.020 |" in page.text_table([larger])


def test_nan_is_a_dash_and_never_a_zero() -> None:
    assert (page.number(math.nan), page.spread(math.nan, math.nan), page.bounds(math.nan, math.nan)) == ("–", "–", "")
