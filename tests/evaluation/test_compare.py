"""Pooling as in the challenge, comparison of two tables, experts, distinct images."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.expert_votes import parse_votes
from mitotype.evaluation import decide_rows
from mitotype.evaluation.compare import compare
from mitotype.evaluation.distinct import distinct_images
from mitotype.evaluation.experts import compare_with_experts, pair_balanced_accuracy
from mitotype.evaluation.pooling import challenge_metrics
from mitotype.evaluation.report import text
from mitotype.evaluation.resample import Bootstrap
from mitotype.scores.table import Scores


def challenge_reference(stacks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the challenge's numbers from its definitions: counts over stacks, page by page."""
    from sklearn.metrics import roc_auc_score

    def rates(pages: list[tuple[str, str, float]]) -> dict[str, float | None]:
        count = {"TP": 0, "FP": 0, "FN": 0, "TN": 0}
        for truth, predicted, _ in pages:
            count[("T" if truth == predicted else "F") + ("P" if predicted == "atypical" else "N")] += 1
        tp, fp, fn, tn = (count[k] for k in ("TP", "FP", "FN", "TN"))
        sensitivity = tp / (tp + fn) if tp + fn else None
        specificity = tn / (tn + fp) if tn + fp else None
        both = sensitivity is not None and specificity is not None
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "balanced_accuracy": (sensitivity + specificity) / 2 if both else None,  # type: ignore[operator]
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "roc_auc": roc_auc_score([t == "atypical" for t, _, _ in pages], [c for _, _, c in pages])
            if both
            else None,
        }

    pages = [page for stack in stacks for page in stack["pages"]]
    domains = sorted({stack["domain"] for stack in stacks})
    out: dict[str, Any] = {f"overall_{k}": v for k, v in rates(pages).items()}
    for domain in domains:
        out[f"domain_{domain}"] = rates([p for s in stacks if s["domain"] == domain for p in s["pages"]])
    return out


@pytest.mark.parametrize("seed", range(6))
def test_pooling_equals_the_challenge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stacks = []
    for index in range(40):
        domain = int(rng.integers(0, 5))
        prevalence = (0.0, 1.0, 0.1, 0.3, 0.5)[domain]  # two domains of one class
        pages = []
        for _ in range(int(rng.integers(1, 17))):
            truth = "atypical" if rng.random() < prevalence else "normal"
            confidence = float(np.round(rng.beta(3, 2) if truth == "atypical" else rng.beta(2, 3), 2))
            pages.append((truth, "atypical" if confidence > (0.4, 0.6)[index % 2] else "normal", confidence))
        stacks.append({"domain": domain, "pages": pages})
    flat = [(t == "atypical", c == "atypical", p, s["domain"]) for s in stacks for t, c, p in s["pages"]]
    label, predicted, confidence, domain_N = (np.array(column) for column in zip(*flat, strict=True))
    ours = challenge_metrics(label.astype(float), predicted.astype(int), confidence, domain_N)
    theirs = challenge_reference(stacks)
    assert ours.keys() == theirs.keys()
    for key, numbers in theirs.items():
        for name, number in (numbers if isinstance(numbers, dict) else {"": numbers}).items():
            value = ours[key][name] if name else ours[key]
            if number is None:
                assert value is None, (key, name)
            elif name == "roc_auc" or key == "overall_roc_auc":
                assert value == pytest.approx(number, rel=0, abs=4e-16), (key, name)
            else:
                assert value == number, (key, name)
    assert "null" in json.dumps(ours, allow_nan=False)


def replicates(cases: int) -> Bootstrap:
    return Bootstrap(np.ones((3, cases)), np.arange(cases), np.full(cases, "x"), 3)


def test_comparison_is_paired(make_cohort: Callable[..., Scores]) -> None:
    """B is A with a little noise: both intervals are wide, that of the difference is narrow and contains 0."""
    a = make_cohort(share=0.15, members=2).take(part="test")
    rng = np.random.default_rng(3)
    b = Scores(a.patches, a.scores.assign(logit=a.scores["logit"] + rng.normal(0, 1.0, len(a))))
    result = compare(decide_rows(a), decide_rows(b), ("a", "b"), n_boot=400)
    assert [s.name for s in result.sets] == ["amibr (test)", "atnorm-br (test)", "atnorm-md (test)"]
    for patches in result.sets:
        for metric in ("auroc", "balanced_accuracy"):
            gain = patches.difference[metric]
            assert gain.value == pytest.approx(patches.b[metric].value - patches.a[metric].value)
            assert gain.high - gain.low < 0.9 * (patches.a[metric].high - patches.a[metric].low)
            assert gain.low <= 0.0 <= gain.high + 0.02
    assert b"nan" not in records.encode(result)
    shown = text.comparison_text(result)
    assert "B - A" in shown and "paired bootstrap" in shown and "amibr (test)" in shown


def test_comparison_counts_patches_of_one_table_only(make_cohort: Callable[..., Scores]) -> None:
    a = make_cohort(share=0.1, members=1).take(part="test")
    ids = a.patches["patch_id"][10:]
    b = Scores(a.patches[10:], a.scores[a.scores["patch_id"].isin(ids)])
    result = compare(decide_rows(a), decide_rows(b), n_boot=120)
    assert result.sets[0].only_a == 10 and result.sets[0].only_b == 0
    flipped = decide_rows(b).assign(label=lambda r: 1 - r["label"])
    with pytest.raises(UserError, match="have different labels"):
        compare(decide_rows(a), flipped, n_boot=120)
    with pytest.raises(UserError, match="share no labelled patch"):
        compare(decide_rows(a.take(datasets=["amibr"])), decide_rows(a.take(datasets=["atnorm-md"])), n_boot=120)


def test_experts_by_hand() -> None:
    vote = parse_votes(["AAN", "NNN", "ANN", "NA-", None, "'-AA"])
    predicted = np.array([1, 0, 1, 0, 0, 1])
    result = compare_with_experts(vote, predicted, replicates(6))
    assert result is not None
    first = result.each[0]  # others of expert 1: AN tie, NN 0, NN 0, A 1, none, AA 1 (but expert 1 is absent)
    assert (first.patches, first.ties, first.absent) == (3, 1, 2)
    assert first.human.value == pytest.approx((0 + 0.5) / 2) and first.model.value == pytest.approx((0 + 0.5) / 2)
    assert compare_with_experts(vote[:, :2], predicted, replicates(6)) is None


def test_majority_as_model_is_better_than_the_experts() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(900) < 0.3
    opinion = np.where(rng.random((900, 5)) < 0.85, truth[:, None], ~truth[:, None]).astype(float)
    bootstrap = replicates(900)
    result = compare_with_experts(opinion, (opinion.mean(1) > 0.5).astype(int), bootstrap)
    assert result is not None and result.model_mean > result.band_high > result.band_low


@pytest.mark.real
def test_expert_bands_of_the_published_votes(shared_data: Path) -> None:
    """Votes only: AMi-Br .866 against majorities and .807 over pairs, AtNorM-MD .829 and .718."""
    md = pd.read_csv(shared_data / "AMi-Br_Benchmark" / "AtNorM-MD_expert_votes.csv")
    vote_md = np.stack([(md[f"Expert_{k}"] == "Atypical").to_numpy(float) for k in range(1, 6)], axis=1)
    br = pd.read_csv(shared_data / "AMi-Br" / "AMI-BR.csv")
    vote_br = np.stack([br[f"expert{k}_atypical"].to_numpy(float) for k in range(1, 4)], axis=1)
    for vote, majority, pairs in ((vote_br, 0.866, 0.807), (vote_md, 0.829, 0.718)):
        result = compare_with_experts(vote, np.zeros(len(vote)), replicates(len(vote)))
        assert result is not None
        assert result.band_high == pytest.approx(majority, abs=0.0006)
        assert result.band_low == pytest.approx(pairs, abs=0.0006)
    assert pair_balanced_accuracy(vote_br[:, 0], vote_br[:, 0]).value == 1.0
    assert len(list(permutations(range(3), 2))) == 6


def test_distinct_images_without_conflicts() -> None:
    rows = pd.DataFrame(
        {
            "patch_id": list("abcdefgh"),
            "digest": ["1", "1", "2", "2", "3", None, None, "1"],
            "label": [0, 0, 0, 1, 1, 0, 0, 0],
        }
    )
    result = distinct_images(rows)
    assert list(rows["patch_id"][result.mask]) == ["a", "e", "f", "g"]
    assert (result.groups, result.conflicts, result.repeated, result.conflicting) == (2, 1, 2, 2)
    assert distinct_images(rows[result.mask]).mask.all()


@pytest.mark.real
def test_atnorm_br_has_709_distinct_images_without_conflict(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "derived" / "sha256.csv")
    table = table[table["dataset"] == "AtNorM-Br"]
    rows = pd.DataFrame(
        {"patch_id": table["file"], "digest": table["sha256"], "label": (table["folder"] == "Atypical").astype(float)}
    )
    result = distinct_images(rows)
    assert len(rows) == 746 and result.mask.sum() == 709 and (result.groups, result.conflicts) == (27, 2)
    assert int(rows["label"][result.mask].sum()) == 122
    assert all(x <= y for x, y in pairwise(np.flatnonzero(result.mask)))


def test_what_one_table_lacks_is_that_of_the_other(make_cohort: Callable[..., Scores]) -> None:
    a = decide_rows(make_cohort(share=0.1, members=1).take(part="test", datasets=["amibr"]))
    b = a.assign(calibrated_logit=a["calibrated_logit"].to_numpy()[::-1])
    bare = a.assign(label=np.nan, case_id="", digest="", case="patch\x1f" + a["patch_id"], domain=None)
    expected = compare(a, b, n_boot=120).sets[0]
    for one, two in (
        (a, b.assign(**{c: bare[c] for c in ("label", "case_id", "digest", "case", "domain")})),
        (bare, b),
    ):
        result = compare(one, two, n_boot=120).sets[0]
        assert (result.cases, result.without_case, result.only_a, result.only_b) == (expected.cases, 0, 0, 0)
        difference, known = result.difference["balanced_accuracy"], expected.difference["balanced_accuracy"]
        assert (difference.low, difference.high) == (known.low, known.high)
    unknown = compare(bare.assign(label=a["label"]), bare, n_boot=120)
    assert unknown.sets[0].without_case == len(a) and "have no case" in text.comparison_text(unknown)
