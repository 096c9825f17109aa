"""Operating points reach what is requested, their rates are those of other cases, and their intervals cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from mitotype.core.run_layout import OperatingCurve
from mitotype.core.run_layout.operating import Rate
from mitotype.scores import decision, operating
from mitotype.scores.decision import Decision
from mitotype.scores.thresholds.specificity import specificity_threshold


def rows_of(seed: int, cases: int = 60, per_case: int = 12, spread: float = 0.8) -> pd.DataFrame:
    """Return out-of-fold rows whose logits have a mean by class and an effect of the case."""
    rng = np.random.default_rng(seed)
    case = np.repeat(np.arange(cases), per_case)
    label = (rng.random(len(case)) < 0.3).astype(float)
    logit = 2.5 * label - 1.5 + rng.normal(0, spread, cases)[case] + rng.normal(0, 1, len(case))
    return pd.DataFrame({
        "patch_id": [f"p{i}" for i in range(len(case))], "dataset": "d", "case_id": [f"c{c}" for c in case],
        "part": "out-of-fold", "label": label, "logit": logit, "members": 1,
    })  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return rows_of(0)


@pytest.fixture(scope="module")
def fitted(rows: pd.DataFrame) -> Decision:
    return decision.fit(rows, calibration="platt", abstention="share(0.15)")


@pytest.fixture(scope="module")
def curve(rows: pd.DataFrame, fitted: Decision) -> OperatingCurve:
    result = operating.fit_curve(rows, fitted)
    assert result is not None
    return result


@pytest.mark.parametrize("rate", ["sensitivity", "specificity"])
@pytest.mark.parametrize("value", [0.5, 0.8, 0.95])
def test_a_point_is_what_the_rule_of_a_recipe_would_give(
    rows: pd.DataFrame, curve: OperatingCurve, rate: Rate, value: float
) -> None:
    point = curve.point(rate, value)
    other = decision.fit(rows, calibration="platt", threshold=f"{rate}({value})", abstention="share(0.15)")
    assert point is not None and point.threshold == other.threshold.value
    assert (point.sensitivity, point.specificity) == pytest.approx(
        (other.threshold.sensitivity, other.threshold.specificity), abs=1e-4
    )
    assert point.band == (other.abstention.low, other.abstention.high)
    reached = expit(other.calibration.calibrated(rows["logit"].to_numpy())) >= point.threshold
    is_right = reached == (rows["label"] == 1).to_numpy()
    assert is_right[(rows["label"] == (rate == "sensitivity")).to_numpy()].mean() >= value


def test_what_lies_between_two_points_is_the_higher_one(curve: OperatingCurve) -> None:
    for value, requested in ((0.951, 0.955), (0.95, 0.95), (0.3, 0.5)):
        point = curve.point("sensitivity", value)
        assert point is not None and point.requested == requested
    assert curve.point("specificity", 0.999) is None


def test_a_lower_threshold_is_more_sensitive_and_less_specific(curve: OperatingCurve) -> None:
    thresholds = [point.threshold for point in curve.sensitivity]
    assert thresholds == sorted(thresholds, reverse=True)
    assert [point.threshold for point in curve.specificity] == sorted(point.threshold for point in curve.specificity)


def test_the_intervals_cover_the_rate_of_new_cases() -> None:
    truth = rows_of(99, cases=4000)
    covered = []
    for seed in range(60):
        rows = rows_of(seed, cases=40)
        hit = (rows["logit"] > 0).to_numpy() & (rows["label"] == 1).to_numpy()
        share, bounds = operating._rate(hit[rows["label"] == 1], rows["case_id"][rows["label"] == 1].to_numpy(), 0.95)
        expected = (truth["logit"][truth["label"] == 1] > 0).mean()
        assert bounds is not None and bounds[0] < share < bounds[1]
        covered.append(bounds[0] <= expected <= bounds[1])
    assert np.mean(covered) > 0.88  # of 0.95; an interval over patches covers 0.75 of them


def test_rows_that_cannot_be_cross_fitted_have_no_points(fitted: Decision) -> None:
    rows = rows_of(0, cases=8)
    rows["label"] = (rows["case_id"] == "c0").astype(float)
    assert operating.fit_curve(rows, fitted) is None
    assert operating.fit_curve(rows.assign(label=0.0), fitted) is None


def test_the_specificity_rule_takes_the_lowest_threshold() -> None:
    probability, label = np.array([0.1, 0.2, 0.3, 0.4, 0.9]), np.array([0, 0, 0, 0, 1])
    assert specificity_threshold(probability, label, 0.75) == pytest.approx(0.35)
    assert specificity_threshold(probability, label, 1.0) == pytest.approx(0.65)
    assert specificity_threshold(probability[:4], label[:4], 1.0) == 1.0
