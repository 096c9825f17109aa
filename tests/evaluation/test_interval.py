"""Bootstrap over cases: every vectorised metric equals the metric of the repeated rows, and the bounds behave."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mitotype.evaluation import resample
from mitotype.evaluation.interval import intervals, mean_over_members, p_value, spread, t_interval
from mitotype.evaluation.metrics import Metric, Number, Resampled, bootstrap_metrics, compute, metrics
from mitotype.evaluation.metrics.ranking import auroc_by_rows
from mitotype.evaluation.resample import Bootstrap


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


def bootstrap_of(case: np.ndarray, n_boot: int) -> Bootstrap:
    names = np.array([f"{c:04d}" for c in case])
    weights = resample.case_weights(names, np.full(len(case), "x"), n_boot=n_boot, seed=0)
    cases, code = np.unique(names, return_inverse=True)
    return Bootstrap(weights, code, np.full(len(cases), "x"), n_boot)


ONE_STEP = ("calibration_slope", "calibration_intercept")  # their replicates are near the fits: see the last test


@pytest.mark.parametrize("cases", [12, 250])
@pytest.mark.parametrize("name", [name for name in metrics.names() if name not in ONE_STEP])
def test_replicates_equal_the_value_of_the_weighted_rows(name: str, cases: int) -> None:
    """With twelve cases the AUROC is computed from pairs of cases, with 250 from sorted rows."""
    rows = cohort(cases=cases, n=240)
    label, predicted, p = arrays(rows)
    resampled = Resampled(label, predicted, p, p, resample.bootstrap_cases(rows, n_boot=25, seed=3))
    metric = metrics.get(name)()
    expected = Metric.replicates(metric, resampled)
    assert metric.replicates(resampled) == pytest.approx(expected, abs=2e-6, nan_ok=True)
    assert np.isfinite(expected[:25]).any() and len(np.unique(expected[:25].round(9))) > 15


def test_both_algorithms_of_auroc_agree() -> None:
    rows = cohort(n=400, cases=15)
    bootstrap = resample.bootstrap_cases(rows, n_boot=60, seed=0)
    label, predicted, p = arrays(rows)
    by_cases = bootstrap_metrics(["auroc"], label, predicted, p, bootstrap)["auroc"]
    assert np.allclose(by_cases, auroc_by_rows(label == 1, p, bootstrap), atol=1e-12)


def test_cases_are_resampled_within_their_stratum() -> None:
    rows = cohort()
    bootstrap = resample.bootstrap_cases(rows, n_boot=50, seed=1)
    assert bootstrap.within == "domain"
    case_domain = rows.groupby("case")["domain"].first().sort_index()
    for name in ("d0", "d1"):
        mask = (case_domain == name).to_numpy()
        assert np.all(bootstrap.weight_DC[:50, mask].sum(1) == mask.sum())
    assert np.array_equal(bootstrap.weight_DC[50:], 1 - np.eye(rows["case"].nunique()))
    assert bootstrap.groups == rows["case"].nunique()
    assert np.array_equal(bootstrap.weight_DC, resample.bootstrap_cases(rows, n_boot=50, seed=1).weight_DC)
    assert not np.array_equal(bootstrap.weight_DC, resample.bootstrap_cases(rows, n_boot=50, seed=2).weight_DC)


def test_single_case_or_case_in_two_domains_is_stratified_by_dataset() -> None:
    rows = cohort()
    lone = rows.assign(domain=np.where(rows["case"] == "3", "alone", rows["domain"]))
    assert resample.bootstrap_cases(lone, n_boot=5, seed=0).within == "dataset"
    crossed = rows.assign(domain=[f"d{i % 2}" for i in range(len(rows))])
    assert resample.bootstrap_cases(crossed, n_boot=5, seed=0).within == "dataset"


def test_domains_share_the_replicates() -> None:
    rows = cohort()
    bootstrap = resample.bootstrap_cases(rows, n_boot=40, seed=0)
    mask = (rows["domain"] == "d1").to_numpy()
    part = bootstrap_metrics(["sensitivity"], *(a[mask] for a in arrays(rows)), bootstrap.take(mask))["sensitivity"]
    label, predicted, _ = arrays(rows)
    for d in range(40):
        weight = bootstrap.weight_DC[d][bootstrap.code_N] * mask
        assert part[d] == pytest.approx(
            (weight * (label == 1) * (predicted == 1)).sum() / (weight * (label == 1)).sum()
        )


def test_bounds_of_independent_patches_are_those_of_the_binomial() -> None:
    n, share = 400, 0.8
    label = np.ones(n)
    predicted = (np.arange(n) < share * n).astype(int)
    bootstrap = bootstrap_of(np.arange(n), n_boot=4000)
    result = intervals(["sensitivity"], label, predicted, predicted, bootstrap)["sensitivity"]
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    assert result.value == share and result.groups == n and result.n_boot == 4000
    assert result.low == pytest.approx(share - half, abs=0.005) and result.high == pytest.approx(
        share + half, abs=0.005
    )


def test_correlated_errors_of_a_case_widen_the_bounds() -> None:
    label = np.ones(400)
    predicted = np.repeat((np.arange(40) < 32).astype(int), 10)
    widths = []
    for case in (np.arange(400), np.repeat(np.arange(40), 10)):
        bootstrap = bootstrap_of(case, n_boot=2000)
        result = intervals(["sensitivity"], label, predicted, predicted, bootstrap)["sensitivity"]
        widths.append(result.high - result.low)
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(10), rel=0.15)


def test_replicates_of_one_class_are_left_out_and_counted() -> None:
    rows = cohort(n=50, cases=5)
    rows["case"] = [str(i % 5) for i in range(50)]
    rows["label"] = (rows["case"] == "0").astype(float)
    bootstrap = resample.bootstrap_cases(rows.assign(domain="d"), n_boot=1000, seed=0)
    result = intervals(["balanced_accuracy", "specificity", "accuracy"], *arrays(rows), bootstrap)
    without = (bootstrap.weight_DC[:1000, 0] == 0).sum()
    only = (bootstrap.weight_DC[:1000, 0] == 5).sum()
    assert result["balanced_accuracy"].n_undefined == without + only and result["specificity"].n_undefined == only
    assert "one case holds" in result["balanced_accuracy"].reason and result["balanced_accuracy"].low is None
    assert result["accuracy"].n_undefined == 0 and result["balanced_accuracy"].n_boot == 1000 - without - only


def test_reasons_without_bounds() -> None:
    rows = cohort(n=50)
    label, predicted, p = arrays(rows)
    one = Bootstrap(np.full((500, 1), 1.0), np.zeros(50, int), np.array(["x"]), 500)
    result = intervals(["accuracy"], label, predicted, p, one)["accuracy"]
    assert result.value is not None and result.low is None and result.reason == "1 case: at least 5 are needed"
    perfect = intervals(
        ["sensitivity"], label, label.astype(int), p, resample.bootstrap_cases(rows, n_boot=300, seed=0)
    )["sensitivity"]
    assert perfect.value == 1 and perfect.low is None and "cannot bound" in perfect.reason
    bootstrap = resample.bootstrap_cases(rows, n_boot=1000, seed=0)
    few = t_interval(Number(0.5), np.append(np.full(950, np.nan), np.linspace(0, 1, 50)), bootstrap)
    assert few.n_undefined == 950 and few.low is None and "50 of 1000" in few.reason
    nothing = intervals(["auroc"], np.zeros(50), predicted, p, resample.bootstrap_cases(rows, n_boot=300, seed=0))[
        "auroc"
    ]
    assert nothing.value is None and nothing.reason == "no atypical patch"


def test_ece_bounds_contain_its_value() -> None:
    rows = cohort(n=300, cases=30)
    result = intervals(["ece"], *arrays(rows), resample.bootstrap_cases(rows, n_boot=500, seed=0))["ece"]
    assert 0 <= result.low <= result.value <= result.high


def test_mean_over_members_is_the_mean_of_its_members() -> None:
    rows = cohort(n=300, cases=30)
    label, _, p = arrays(rows)
    rng = np.random.default_rng(0)
    p_NM = np.clip(p[:, None] + rng.normal(0, 0.1, (300, 4)), 0, 1)
    bootstrap = resample.bootstrap_cases(rows, n_boot=400, seed=0)
    result = mean_over_members(["balanced_accuracy", "auroc"], label, (p_NM >= 0.5).astype(int), p_NM, bootstrap)
    for name, one in result.items():
        values = [compute(name, label, (p_NM[:, m] >= 0.5).astype(int), p_NM[:, m]).value for m in range(4)]
        assert one.value == pytest.approx(np.mean(values)) and one.member_sd == pytest.approx(np.std(values))
        assert one.low < one.value < one.high


def by_hand(value: np.ndarray, strata: np.ndarray) -> tuple[float, float]:
    """Error and degrees of freedom of a mean over cases of one patch, from the definitions."""
    k, h = len(value), len(np.unique(strata))
    left_out = np.array([np.delete(value, i).mean() for i in range(k)])
    influence = left_out - left_out.mean()
    within = sum(((value[strata == s] - value[strata == s].mean()) ** 2).sum() for s in np.unique(strata)) / k**2
    sd = math.sqrt(within * k / (k - h))
    jackknife = math.sqrt((k - 1) / k * (influence**2).sum())
    n = (influence**2).sum() ** 2 / (influence**4).sum()
    return max(sd, jackknife), min(k - h, max(n, 5))


def test_the_error_of_a_mean_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    value = np.append(rng.random(23), 4.0)
    strata = np.array(["a", "b"]).repeat(12)
    rows = pd.DataFrame({"case": [f"{i:02d}" for i in range(24)], "dataset": "x", "domain": strata})
    bootstrap = resample.bootstrap_cases(rows, n_boot=20_000, seed=0)
    replicate_D = bootstrap.weight_DC @ value / bootstrap.weight_DC.sum(1)
    known = spread(replicate_D, bootstrap)
    error, df = by_hand(value, strata)
    assert known.error == pytest.approx(error, rel=0.02) and known.df == pytest.approx(df, rel=1e-6) and df < 10
    paired = spread(replicate_D, bootstrap, paired=True)
    assert paired.df == 22 and paired.error <= known.error


def test_bounds_stay_in_their_range_and_agree_with_p() -> None:
    bootstrap = bootstrap_of(np.arange(30), n_boot=500)
    rng = np.random.default_rng(0)
    replicate_D = 0.97 + 0.02 * rng.normal(size=500)
    unit = t_interval(Number(0.97), replicate_D, bootstrap)
    assert unit.low is not None and unit.high is not None and unit.low < 0.95 < 0.98 < unit.high < 1
    positive = t_interval(Number(0.05), replicate_D - 0.92, bootstrap, scale="positive")
    assert positive.low is not None and 0 < positive.low < 0.05
    for shift in (0.0, 0.03, 0.06):
        number = Number(shift)
        real = t_interval(number, replicate_D, bootstrap, scale="real", paired=True)
        assert real.low is not None and real.high is not None
        p = p_value(number, spread(replicate_D, bootstrap, paired=True))
        assert (p < 0.05) == (real.low > 0 or real.high < 0)


def test_logits_rank_where_probabilities_round_to_one() -> None:
    label, logit = np.array([0.0, 0.0, 1.0, 1.0]), np.array([40.0, 50.0, 60.0, 70.0])
    p = 1 / (1 + np.exp(-logit))
    assert compute("auroc", label, p > 0.5, p).value == 0.5
    assert (
        compute("auroc", label, p > 0.5, p, logit).value == 1 and compute("auprc", label, p > 0.5, p, logit).value == 1
    )


def test_calibration_slope_and_intercept() -> None:
    """Known by construction; equal to scikit-learn's unpenalised fit; replicates are near the fits to repeated rows."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    label = (rng.random(4000) < 1 / (1 + np.exp(-(0.5 * z - 1)))).astype(float)
    p = 1 / (1 + np.exp(-z))
    slope, intercept = (compute(f"calibration_{name}", label, p > 0.5, p).value for name in ("slope", "intercept"))
    fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(z[:, None], label)
    assert slope == pytest.approx(float(fitted.coef_[0, 0]), abs=1e-4) and 0.4 < slope < 0.6
    shifted = 1 / (1 + np.exp(-(z + intercept)))
    assert shifted.sum() == pytest.approx(label.sum(), rel=1e-6) and intercept < -0.8
    ratio = compute("observed_expected", label, p > 0.5, p).value
    assert ratio == pytest.approx(label.sum() / p.sum()) and ratio < 1
    bootstrap = bootstrap_of(np.arange(4000) % 40, n_boot=20)
    result = bootstrap_metrics(["calibration_slope", "calibration_intercept"], label, p > 0.5, p, bootstrap)
    for d in range(20):
        rows = np.repeat(np.arange(4000), bootstrap.weight_DC[d][bootstrap.code_N].astype(int))
        for name, value_D in result.items():
            assert value_D[d] == pytest.approx(compute(name, label[rows], p[rows] > 0.5, p[rows]).value, abs=5e-3)
    separated = compute("calibration_slope", (z > 0).astype(float), z > 0, p)
    assert math.isnan(separated.value) and separated.reason == "the likelihood has no maximum"


@pytest.mark.parametrize(("factor", "shift"), [(2.0, 0.0), (4.0, 0.0), (8.0, 0.0), (0.02, 0.0), (1.0, 6.0)])
def test_calibration_of_extreme_scores_is_that_of_scikit_learn(factor: float, shift: float) -> None:
    from sklearn.linear_model import LogisticRegression

    for seed in range(5):
        rng = np.random.default_rng(seed)
        z = rng.normal(-1.5, 1.5, 800)
        label = (rng.random(800) < 1 / (1 + np.exp(-z))).astype(float)
        p = 1 / (1 + np.exp(-(factor * z + shift)))
        reported = np.log(np.clip(p, 1e-6, 1 - 1e-6)) - np.log1p(-np.clip(p, 1e-6, 1 - 1e-6))
        fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(reported[:, None], label)
        slope = compute("calibration_slope", label, p > 0.5, p).value
        assert slope == pytest.approx(float(fitted.coef_[0, 0]), rel=2e-3)
        intercept = compute("calibration_intercept", label, p > 0.5, p).value
        assert (1 / (1 + np.exp(-(reported + intercept)))).sum() == pytest.approx(label.sum(), rel=1e-6)


def test_a_difference_has_no_bounds_where_one_case_holds_a_class() -> None:
    rng = np.random.default_rng(0)
    case = np.repeat(np.arange(12), 20)
    label = (case == 0).astype(float)
    a, b = (np.clip(0.3 * label + 0.7 * rng.random(240), 0.01, 0.99) for _ in range(2))
    bootstrap = resample.bootstrap_cases(
        pd.DataFrame({"case": case.astype(str), "dataset": "x", "domain": "d"}), n_boot=400, seed=0
    )
    replicates = [bootstrap_metrics(["balanced_accuracy"], label, p > 0.5, p, bootstrap) for p in (a, b)]
    difference = replicates[1]["balanced_accuracy"] - replicates[0]["balanced_accuracy"]
    interval = t_interval(Number(0.1), difference, bootstrap, scale="real", paired=True)
    assert interval.low is None and interval.reason == "one case holds every patch of a class"
    assert math.isnan(p_value(Number(0.1), spread(difference, bootstrap, paired=True)))
