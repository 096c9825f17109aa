"""Bootstrap over cases: every vectorised metric equals the metric of the rows written out, and the bounds behave."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mitotype.evaluation import resample
from mitotype.evaluation.interval import bounded, intervals, mean_over_members
from mitotype.evaluation.metrics import METRICS, Number, compute
from mitotype.evaluation.resample import Draws


def cohort(n: int = 300, cases: int = 12, seed: int = 0, levels: int = 25) -> pd.DataFrame:
    """Scores with many ties, cases of unequal size, some of one class."""
    rng = np.random.default_rng(seed)
    case = rng.integers(0, cases, n) // rng.integers(1, 3, n)
    label = (rng.random(n) < 0.25).astype(float)
    p = np.round(np.clip(0.3 * label + rng.random(n) * 0.7, 0, 1) * levels) / levels
    return pd.DataFrame(
        {
            "case": case.astype(str),
            "dataset": "x",
            "domain": [f"d{c % 2}" for c in case],
            "label": label,
            "probability": p,
            "predicted": (p >= 0.5).astype(int),
        }
    )


def arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows["label"].to_numpy(), rows["predicted"].to_numpy(), rows["probability"].to_numpy()


def of_cases(case: np.ndarray, draws: int) -> Draws:
    names = np.array([f"{c:04d}" for c in case])
    weights = resample.draw(names, np.full(len(case), "x"), draws=draws, seed=0)
    return Draws(weights, np.unique(names, return_inverse=True)[1])


@pytest.mark.parametrize("cases", [12, 250])
def test_every_metric_of_every_draw_is_that_of_the_rows_written_out(cases: int) -> None:
    """Twelve cases take the road through pairs of cases, 250 the one through sorted rows."""
    rows = cohort(cases=cases, n=240)
    draws = resample.of_rows(rows, draws=25, seed=3)
    found = resample.metric_draws(list(METRICS), *arrays(rows), draws)
    for d in range(25):
        written = np.repeat(np.arange(len(rows)), draws.weight_DC[d][draws.code_N].astype(int))
        label, predicted, p = (a[written] for a in arrays(rows))
        for name in METRICS:
            expected = compute(name, label, predicted, p).value
            assert found[name][d] == pytest.approx(expected, abs=2e-6, nan_ok=True), name


def test_two_roads_to_auroc_agree() -> None:
    rows = cohort(n=400, cases=15)
    draws = resample.of_rows(rows, draws=60, seed=0)
    label, _, p = arrays(rows)
    assert np.allclose(resample._auroc(label, p, draws), resample._auroc_by_rows(label == 1, p, draws), atol=1e-12)


def test_cases_are_drawn_whole_and_within_their_stratum() -> None:
    rows = cohort()
    draws = resample.of_rows(rows, draws=50, seed=1)
    assert draws.within == "domain"
    home = rows.groupby("case")["domain"].first().sort_index()
    for name in ("d0", "d1"):
        mine = (home == name).to_numpy()
        assert np.all(draws.weight_DC[:, mine].sum(1) == mine.sum())
    assert draws.groups == rows["case"].nunique()
    assert np.array_equal(draws.weight_DC, resample.of_rows(rows, draws=50, seed=1).weight_DC)
    assert not np.array_equal(draws.weight_DC, resample.of_rows(rows, draws=50, seed=2).weight_DC)


def test_a_lone_case_or_a_case_in_two_domains_falls_back_to_the_dataset() -> None:
    rows = cohort()
    lone = rows.assign(domain=np.where(rows["case"] == "3", "alone", rows["domain"]))
    assert resample.of_rows(lone, draws=5, seed=0).within == "dataset"
    crossed = rows.assign(domain=[f"d{i % 2}" for i in range(len(rows))])
    assert resample.of_rows(crossed, draws=5, seed=0).within == "dataset"


def test_domains_see_the_same_draws() -> None:
    rows = cohort()
    draws = resample.of_rows(rows, draws=40, seed=0)
    mine = (rows["domain"] == "d1").to_numpy()
    part = resample.metric_draws(["sensitivity"], *(a[mine] for a in arrays(rows)), draws.take(mine))["sensitivity"]
    label, predicted, _ = arrays(rows)
    for d in range(40):
        weight = draws.weight_DC[d][draws.code_N] * mine
        assert part[d] == pytest.approx(
            (weight * (label == 1) * (predicted == 1)).sum() / (weight * (label == 1)).sum()
        )


def test_bounds_of_independent_patches_are_those_of_the_binomial() -> None:
    n, share = 400, 0.8
    label = np.ones(n)
    predicted = (np.arange(n) < share * n).astype(int)
    draws = of_cases(np.arange(n), draws=4000)
    found = intervals(["sensitivity"], label, predicted, predicted, draws)["sensitivity"]
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    assert found.value == share and found.groups == n and found.draws == 4000
    assert found.low == pytest.approx(share - half, abs=0.005) and found.high == pytest.approx(share + half, abs=0.005)


def test_cases_that_err_together_widen_the_bounds() -> None:
    label = np.ones(400)
    predicted = np.repeat((np.arange(40) < 32).astype(int), 10)
    widths = []
    for case in (np.arange(400), np.repeat(np.arange(40), 10)):
        draws = of_cases(case, draws=2000)
        found = intervals(["sensitivity"], label, predicted, predicted, draws)["sensitivity"]
        widths.append(found.high - found.low)
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(10), rel=0.15)


def test_draws_of_one_class_are_left_out_and_counted() -> None:
    rows = cohort(n=40, cases=4)
    rows["case"] = [str(i % 4) for i in range(40)]
    rows["label"] = (rows["case"] == "0").astype(float)
    draws = resample.of_rows(rows.assign(domain="d"), draws=1000, seed=0)
    found = intervals(["balanced_accuracy", "specificity", "accuracy"], *arrays(rows), draws)
    without = (draws.weight_DC[:, 0] == 0).sum()
    only = (draws.weight_DC[:, 0] == 4).sum()
    assert found["balanced_accuracy"].left_out == without + only and found["specificity"].left_out == only
    assert found["accuracy"].left_out == 0 and found["balanced_accuracy"].draws == 1000 - without - only


def test_no_bounds_are_better_than_false_ones() -> None:
    rows = cohort(n=50)
    label, predicted, p = arrays(rows)
    one = Draws(np.full((500, 1), 1.0), np.zeros(50, int))
    found = intervals(["accuracy"], label, predicted, p, one)["accuracy"]
    assert not math.isnan(found.value) and math.isnan(found.low) and "1 case" in found.reason
    perfect = intervals(["sensitivity"], label, label.astype(int), p, resample.of_rows(rows, draws=300, seed=0))[
        "sensitivity"
    ]
    assert perfect.value == 1 and math.isnan(perfect.low) and "cannot bound" in perfect.reason
    few = bounded(
        Number(0.5), np.append(np.full(950, np.nan), np.linspace(0, 1, 50)), resample.of_rows(rows, draws=5, seed=0)
    )
    assert few.left_out == 950 and math.isnan(few.low) and "50 of 1000" in few.reason
    nothing = intervals(["auroc"], np.zeros(50), predicted, p, resample.of_rows(rows, draws=300, seed=0))["auroc"]
    assert math.isnan(nothing.value) and nothing.reason == "no atypical patch"


def test_ece_bounds_hold_its_value() -> None:
    rows = cohort(n=300, cases=30)
    found = intervals(["ece"], *arrays(rows), resample.of_rows(rows, draws=500, seed=0))["ece"]
    assert 0 <= found.low <= found.value <= found.high


def test_mean_over_members_is_the_mean_of_its_members() -> None:
    rows = cohort(n=300, cases=30)
    label, _, p = arrays(rows)
    rng = np.random.default_rng(0)
    p_NM = np.clip(p[:, None] + rng.normal(0, 0.1, (300, 4)), 0, 1)
    draws = resample.of_rows(rows, draws=400, seed=0)
    found = mean_over_members(["balanced_accuracy", "auroc"], label, (p_NM >= 0.5).astype(int), p_NM, draws)
    for name, one in found.items():
        values = [compute(name, label, (p_NM[:, m] >= 0.5).astype(int), p_NM[:, m]).value for m in range(4)]
        assert one.value == pytest.approx(np.mean(values)) and one.sd == pytest.approx(np.std(values))
        assert one.low < one.value < one.high
