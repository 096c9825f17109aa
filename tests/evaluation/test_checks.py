"""Checks on method: each has a page and reports what it is for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mitotype.core.errors import UserError
from mitotype.evaluation import checks, evaluate
from mitotype.evaluation.results import Evaluation
from mitotype.scores.decision import Decision
from mitotype.scores.table import Scores
from tests.evaluation.conftest import ABOUT


def findings(scores: Scores, fitted: Decision | None = None, **more: object) -> dict[str, str]:
    evidence = replace(checks.Evidence(scores, fitted or Decision()), **more)  # type: ignore[arg-type]
    return {f.code: f.text for f in checks.run(evidence) if f.text}


def test_clean_cohort_has_only_warnings(small: Scores, evaluation: Evaluation) -> None:
    assert set(findings(small, evaluation.decision)) <= {"M003", "M005"}
    checks.raise_if_any(evaluation.checks)


def test_every_check_has_a_page_and_a_finding(small: Scores) -> None:
    for code in checks.checks:
        check = checks.checks.get(code)
        assert code == check.code and "To fix it:" in check.page and len(check.page) > 150
    patches = small.patches
    test, training = patches.index[patches["dataset"] == "atnorm-md"], patches.index[patches["dataset"] == "amibr"]

    crossed = patches.copy()
    of_test = patches.index[patches["patch_id"].str.startswith("amibr/t")]
    crossed.loc[of_test[0], "case_id"] = crossed.loc[training[0], "case_id"]
    assert findings(Scores(crossed, small.scores))["M001"].endswith(f"'amibr: {crossed.loc[training[0], 'case_id']}'.")

    split = small.scores.copy()
    first = split[(split["part"] == "out-of-fold")].groupby("member")["patch_id"].first()
    split.loc[split["patch_id"] == first.iloc[0], "member"] = first.index[1]
    assert "are in two folds" in findings(Scores(patches, split))["M001"]

    same = patches.copy()
    same.loc[test[0], "digest"] = same.loc[training[0], "digest"]
    assert "test images are training images" in findings(Scores(same, small.scores))["M004"]

    seen = Decision(digests=(patches.loc[test[0], "digest"][:16],))
    assert "1 images of a test set" in findings(small, seen)["M002"]

    overlaps = {"amibr": ("atnorm-md", "elsewhere")}
    assert "The training dataset 'amibr' shares slides with 'atnorm-md'" in findings(small, overlaps=overlaps)["M006"]
    for held_out in ("atnorm-md", "atnorm-md-test"):
        assert "M006" not in findings(small, overlaps=overlaps, held_out=(held_out,))

    inverted = Scores(patches, small.scores.assign(logit=-small.scores["logit"]))
    assert "AUROC is 0." in findings(inverted)["M007"]


def test_checks_cover_every_part(small: Scores, evaluation: Evaluation) -> None:
    test_only = evaluate(small, evaluation.decision, part="test", n_boot=120, about=ABOUT)
    assert [e.part for e in test_only.entries] == ["test"] * 3
    same = small.patches.copy()
    same.loc[same.index[-1], "digest"] = same.loc[0, "digest"]
    with pytest.raises(UserError, match="M004"):
        evaluate(Scores(same, small.scores), part="test", n_boot=120)


def test_leak_raises(small: Scores) -> None:
    same = small.patches.copy()
    same.loc[same.index[-1], "digest"] = same.loc[0, "digest"]
    with pytest.raises(UserError, match="M004"):
        evaluate(Scores(same, small.scores), n_boot=120)


def test_few_positives_are_named(small: Scores) -> None:
    patches = small.patches.copy()
    mask = (patches["dataset"] == "atnorm-md") & (patches["domain"] == "human melanoma")
    patches.loc[mask, "label"] = 0.0
    only = Scores(patches, small.scores).take(part="test", datasets=["atnorm-md"])
    assert "human melanoma (atnorm-md) 0" in findings(only)["M003"]
