"""Evaluation of a synthetic cohort: entries, variants, metrics, notes, JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import EvaluationRecord
from mitotype.evaluation import decide_rows, evaluate
from mitotype.evaluation.metrics import compute
from mitotype.evaluation.results import Evaluation
from mitotype.scores import decision, table
from mitotype.scores.calibrate import sigmoid
from mitotype.scores.ensemble import mean_logit
from mitotype.scores.table import Scores
from tests.evaluation.conftest import ABOUT, fit_decision


def test_entries_and_variants(evaluation: Evaluation) -> None:
    assert [(e.dataset, e.part) for e in evaluation.entries] == [
        ("amibr", "test"),
        ("atnorm-br", "test"),
        ("atnorm-md", "test"),
        ("amibr", "out-of-fold"),
    ]
    keys = {e.dataset + e.part: [v.key for v in e.variants] for e in evaluation.entries}
    assert keys["amibrtest"] == ["decided", "half", "mean_probability", "single"]
    assert keys["atnorm-brtest"] == ["decided", "half", "mean_probability", "single", "all_files", "single_all_files"]
    assert keys["amibrout-of-fold"] == ["decided", "half", "mean_probability"]


def test_metrics_equal_those_of_the_rows(evaluation: Evaluation) -> None:
    for entry in evaluation.entries:
        rows = entry.rows
        arrays = rows["label"].to_numpy(), (rows["class"] == "atypical").to_numpy(int), rows["probability"].to_numpy()
        for name, interval in entry.headline.metrics.items():
            assert interval.value == compute(name, *arrays).value
            assert interval.low <= interval.value <= interval.high, (entry.name, name)
        c = entry.confusion
        assert c.tp + c.fn == entry.atypical and c.tp + c.fn + c.fp + c.tn == entry.patches
        assert entry.pooled["overall_balanced_accuracy"] == pytest.approx(
            entry.headline.metrics["balanced_accuracy"].value
        )
        assert sum(d.patches for d in entry.domains) == entry.patches


def test_the_mean_of_probabilities(evaluation: Evaluation, small: Scores) -> None:
    entry = evaluation.entry("amibr")
    variant = entry.variant("mean_probability") if entry else None
    assert entry is not None and variant is not None
    rows = small.scores[small.scores["part"] == "test"]
    by_view = rows.assign(p=sigmoid(rows["logit"].to_numpy())).groupby(["patch_id", "member"])["p"].mean()
    mean = by_view.groupby("patch_id").mean().reindex(entry.rows["patch_id"]).to_numpy()
    label = entry.rows["label"].to_numpy()
    for name in ("balanced_accuracy", "auroc"):
        assert variant.metrics[name].value == pytest.approx(compute(name, label, (mean >= 0.5).astype(int), mean).value)


def test_single_members(evaluation: Evaluation, small: Scores) -> None:
    entry = evaluation.entry("amibr")
    single = entry.variant("single") if entry else None
    assert entry is not None and single is not None and single.members == 3
    rows = small.scores[(small.scores["part"] == "test") & (small.scores["view"] == "identity")]
    values = []
    for _, group in rows.groupby("member"):
        logit = group.set_index("patch_id")["logit"].reindex(entry.rows["patch_id"]).to_numpy()
        label, predicted = entry.rows["label"].to_numpy(), (logit >= 0).astype(int)
        values.append(compute("balanced_accuracy", label, predicted, logit).value)
    assert single.metrics["balanced_accuracy"].value == pytest.approx(np.mean(values))
    assert single.metrics["balanced_accuracy"].member_sd == pytest.approx(np.std(values))


def test_repeated_images_count_once(evaluation: Evaluation) -> None:
    entry = evaluation.entry("atnorm-br")
    assert entry is not None and entry.files == entry.all_files.patches == entry.patches + 30 + 7
    assert "30 repeats and 7 files of 2 images with conflicting labels" in entry.notes[0]
    assert entry.like_for_like is not None and entry.like_for_like.patches == entry.files


def test_out_of_fold_rows_are_cross_fitted(evaluation: Evaluation, small: Scores) -> None:
    entry = evaluation.entry("amibr", "out-of-fold")
    assert entry is not None
    rows = small.joined(mean_logit(small.take(part="out-of-fold")))
    cross_fitted = decision.cross_fitted(rows, evaluation.decision).set_index("patch_id")["probability"]
    assert np.allclose(cross_fitted.reindex(entry.rows["patch_id"]), entry.rows["probability"])
    assert "cross-fitted" in entry.notes[-1]


def test_the_record_has_no_image_digests(evaluation: Evaluation) -> None:
    record = evaluation.to_record()
    raw = records.encode(record)
    assert records.encode(records.decode(raw, EvaluationRecord, "an evaluation")) == raw
    assert record.settings.decision_digests == len(evaluation.decision.digests) > 0
    assert record.settings.decision.digests == ()
    assert record.entries[0].variants[0].metrics["auroc"].by == "case_id"


def test_repeated_evaluation_is_identical(small: Scores, evaluation: Evaluation) -> None:
    again = evaluate(small, fit_decision(small), n_boot=300, about=ABOUT)
    assert again.to_record() == evaluation.to_record()


def test_unlabelled_patches_are_left_out_and_counted(small: Scores) -> None:
    patches = small.patches.copy()
    patches.loc[patches["dataset"] == "atnorm-md", "label"] = np.nan
    hidden = patches.index[patches["dataset"] == "atnorm-br"][-5:]
    patches.loc[hidden, "label"] = np.nan
    result = evaluate(Scores(patches, small.scores), n_boot=120, about=ABOUT)
    assert result.entry("atnorm-md") is None and any("atnorm-md (test): none of 252" in note for note in result.notes)
    entry = result.entry("atnorm-br")
    assert entry is not None and entry.unlabelled == 5
    with pytest.raises(UserError, match="No patch of these scores has a label"):
        evaluate(Scores(patches.assign(label=np.nan), small.scores), n_boot=120)


def test_note_on_a_decision_fitted_on_fewer_members(evaluation: Evaluation) -> None:
    assert any("means of 1 members, and decides rows that are means of 3" in note for note in evaluation.notes)


def test_csv_of_scores_is_evaluated_like_a_run(tmp_path: Path, small: Scores) -> None:
    rows = decide_rows(small.take(part="test"))
    path = tmp_path / "theirs.csv"
    rows[["patch_id", "probability"]].rename(columns={"probability": "score"}).to_csv(path, index=False)
    theirs = evaluate(table.read(path, patches=small.patches), n_boot=120, about=ABOUT)
    ours = evaluate(small.take(part="test"), n_boot=120, about=ABOUT)
    for a, b in zip(ours.entries, theirs.entries, strict=True):
        assert a.headline.metrics["auroc"].value == pytest.approx(b.headline.metrics["auroc"].value)
        assert a.confusion == b.confusion
    assert [v.key for v in theirs.entries[0].variants] == ["decided"]


def test_reasons_for_one_class(small: Scores) -> None:
    only = small.take(part="test", datasets=["amibr"])
    only = Scores(only.patches.assign(label=0.0), only.scores)
    result = evaluate(only, n_boot=150, about=ABOUT)
    metrics = result.entries[0].headline.metrics
    assert metrics["auroc"].value is None and metrics["auroc"].reason == "no atypical patch"
