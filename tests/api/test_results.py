"""Results: paths, arrays and frames give the same answers; frames, tables in a notebook (escaped) and plots come out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mitotype
from mitotype.core import images
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort

TAG = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def predictions() -> mitotype.Predictions:
    return mitotype.classify(mitotype.example_images(), "morphology")


@pytest.fixture
def scores(toy_cohort: Cohort) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = toy_cohort.rows[["label", "case_id", "domain"]]
    return rows.assign(score=np.clip(rows["label"] * 0.5 + rng.uniform(0, 0.6, len(rows)), 0, 1))


def is_drawn(figure: object) -> bool:
    png: bytes = figure._repr_png_()  # type: ignore[attr-defined]
    return png.startswith(b"\x89PNG") and len(png) > 3000


def test_paths_arrays_and_frames_have_the_same_predictions(predictions: mitotype.Predictions) -> None:
    paths = mitotype.example_images()
    stack_NHW3 = np.stack([images.read(path) for path in paths])
    opened = mitotype.open_bundle("morphology")
    for given in (stack_NHW3, list(stack_NHW3), pd.DataFrame({"path": paths})):
        other = mitotype.classify(given, opened)
        assert [p.probability for p in other] == [p.probability for p in predictions]
    assert is_drawn(mitotype.classify(stack_NHW3, opened).plot())


def test_predictions_are_a_sequence_a_frame_a_table_and_a_sheet(
    predictions: mitotype.Predictions, tmp_path: Path
) -> None:
    assert len(predictions) == len(predictions.to_frame()) == sum(predictions.counts.values()) == 6
    assert predictions[0].path.endswith("1.png") and len(predictions[1:3]) == 2
    assert is_drawn(predictions.plot(columns=4))
    assert predictions._repr_html_().count("<tr>") == 7
    assert pd.read_csv(predictions.write(tmp_path / "a.csv"))["path"].tolist() == [p.path for p in predictions]
    (tmp_path / "b.csv").write_text("mine\n1\n")
    with pytest.raises(UserError, match="holds no predictions"):
        predictions.write(tmp_path / "b.csv")


def test_notebooks_show_no_tag_of_a_name(scores: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / TAG.replace("/", "")).write_bytes(mitotype.example_images()[0].read_bytes())
    named = scores.assign(dataset=TAG, patch_id=[f"{TAG}{i}" for i in range(len(scores))])
    shown = [
        mitotype.classify(list(tmp_path.iterdir()), "morphology"),
        mitotype.evaluate(named, n_boot=20),
        mitotype.compare(named, named, n_boot=20),
        mitotype.Audit((mitotype.audit(mitotype.example_images()[0].parent)[0].__class__(TAG, "note", TAG),)),
        mitotype.ScoreFolder(tmp_path, {TAG: 1}),
    ]
    for result in shown:
        assert "<script" not in result._repr_html_() and "&lt;script" in result._repr_html_()  # type: ignore[attr-defined]


def test_an_evaluation_of_a_frame(scores: pd.DataFrame, tmp_path: Path) -> None:
    evaluation = mitotype.evaluate(scores, n_boot=100)
    frame = evaluation.to_frame().set_index(["variant", "group", "metric"])
    overall = frame.loc[("decided", "all", "balanced_accuracy")]
    expected = ((scores["score"] >= 0.5) == scores["label"]).groupby(scores["label"]).mean().mean()
    assert overall["value"] == pytest.approx(expected) and overall["low"] < overall["value"] < overall["high"]
    assert set(frame.index.get_level_values("group")) >= {"all", "domain0", "domain1"}
    assert is_drawn(evaluation.plot())
    report = evaluation.write_report(tmp_path / "report.html")
    assert report.is_file() and (tmp_path / "evaluation.json").is_file()
    assert "balanced accuracy" in repr(evaluation) and "bal. acc." in str(evaluation)
    with pytest.raises(UserError, match="not a supported file type"):
        evaluation.write_report(tmp_path / "report.pdf")
    with pytest.raises(UserError, match="row 0: score 'high' is not a number"):
        mitotype.evaluate(scores.assign(score="high"))


def test_labels_of_a_frame_come_from_data(toy_cohort: Cohort, scores: pd.DataFrame) -> None:
    named = scores[["score"]].assign(patch_id=toy_cohort.rows["patch_id"])
    entry = mitotype.evaluate(named, toy_cohort, n_boot=20).entries[0]
    assert (entry.patches, entry.cases) == (48, 12)


def test_a_comparison_of_frames(scores: pd.DataFrame) -> None:
    comparison = mitotype.compare(scores, scores.assign(score=scores["label"]), n_boot=100)
    row = comparison.to_frame().set_index("metric").loc["balanced_accuracy"]
    assert (
        row["b"] == 1.0 and row["difference"] == pytest.approx(row["b"] - row["a"]) and row["low"] < row["difference"]
    )
    assert is_drawn(comparison.plot())
    assert (comparison.name_a, comparison.name_b) == ("a", "b")


@pytest.mark.usefixtures("one_thread")
def test_a_run_on_a_frame(toy_cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(toy_cohort.rows["path"][0]).parent)
    frame = toy_cohort.rows[["label", "case_id", "domain", "votes_for", "votes"]].assign(
        path=[Path(path).name for path in toy_cohort.rows["path"]],
        label=toy_cohort.rows["label"].map({0: "NMF", 1: "AMF"}),
    )
    settings = ["folds=2", "epochs=2", "batch=8", "precision=fp32", "ood_flag=0"]
    run = mitotype.train("demo", frame, out=tmp_path / "run", settings=settings, device="cpu")
    monkeypatch.chdir(tmp_path)
    assert run.is_finished and run.recipe.epochs == 2 and len(run.scores()) == 48
    assert Path(run) == tmp_path / "run" and os.fspath(run).endswith("run")
    assert run.evaluate(n_boot=20).entries[0].patches == 48
    assert is_drawn(run.plot())
    assert "48 patches (16 atypical) of 12 cases" in run._repr_html_()
    assert mitotype.load_recipe(run).folds == "2"
    with pytest.raises(UserError, match="more votes_for than votes"):
        mitotype.read_cohort(frame.assign(path=toy_cohort.rows["path"], votes_for=4))


def test_static_tools_and_a_star_import_see_the_names() -> None:
    code = (
        "import sys, mitotype\nassert set(mitotype.__all__) <= set(dir(mitotype))\nassert 'torch' not in sys.modules\n"
        "from mitotype import *\nassert callable(classify) and callable(train)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    api = Path(mitotype.api.__file__).read_text(encoding="utf-8")
    for name in mitotype.api.__all__:
        assert mitotype.api._MODULES[name]
        assert name in api.split("__all__")[0], f"{name} is not among the imports for type checkers"
