"""Calibration, threshold, abstention, and the decision of the three."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mitotype.core import arguments, records
from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.registry import Registry
from mitotype.scores import abstain, calibrate, decision, threshold
from mitotype.scores.abstentions import abstentions
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import mean_logit
from mitotype.scores.risk_coverage import risk_coverage
from mitotype.scores.table import Scores
from mitotype.scores.thresholds import thresholds


def synthetic_logits(
    n: int = 4000, slope: float = 0.4, intercept: float = -0.6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels whose true calibration is known."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, n)
    return z, (rng.random(n) < 1 / (1 + np.exp(-(slope * z + intercept)))).astype(float)


# calibration


def test_platt_and_temperature_recover_the_truth() -> None:
    z, y = synthetic_logits(20000)
    platt = calibrate.fit(z, y, "platt")
    assert platt.slope == pytest.approx(0.4, abs=0.03) and platt.intercept == pytest.approx(-0.6, abs=0.06)
    z, y = synthetic_logits(20000, intercept=0.0)
    assert calibrate.fit(z, y, "temperature").slope == pytest.approx(0.4, abs=0.03)


def test_platt_equals_the_logistic_regression_of_sklearn() -> None:
    from sklearn.linear_model import LogisticRegression

    z, y = synthetic_logits(600)
    oracle = LogisticRegression(C=1e10, tol=1e-10).fit(z[:, None], y)
    platt = calibrate.fit(z, y, "platt")
    assert platt.slope == pytest.approx(oracle.coef_[0, 0], rel=1e-4)
    assert platt.intercept == pytest.approx(oracle.intercept_[0], rel=1e-4)


def test_soft_targets_solve_the_score_equation() -> None:
    """At the maximum Σ (p - target) = 0 and Σ (p - target) z = 0."""
    z, _ = synthetic_logits(500)
    rng = np.random.default_rng(2)
    target = np.clip(1 / (1 + np.exp(-(0.5 * z - 0.3))) + rng.normal(0, 0.1, 500), 0, 1)
    residual = calibrate.fit(z, target, "platt").probability(z) - target
    assert abs(residual.sum()) < 1e-3 and abs(residual @ z) < 1e-3


def test_likelihood_improves_or_the_identity_is_returned() -> None:
    z, y = synthetic_logits()
    for kind in ("temperature", "platt"):
        fitted = calibrate.fit(z, y, kind)
        assert calibrate.log_loss(calibrate.logit_of(fitted.probability(z)), y) < calibrate.log_loss(z, y)
        again = calibrate.fit(fitted.slope * z + fitted.intercept, y, kind)
        assert again.slope == pytest.approx(1, abs=1e-4) and again.intercept == pytest.approx(0, abs=1e-4)
        backwards = calibrate.fit(-z, y, kind)
        assert backwards.kind == "identity" and "do not rise" in backwards.note


@pytest.mark.parametrize("kind", ["temperature", "platt"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
def test_separable_classes_stay_finite(kind: str, scale: float) -> None:
    z = scale * np.array([-3.0, -2, -1, 1, 2, 3])
    y = np.array([0.0, 0, 0, 1, 1, 1])
    fitted = calibrate.fit(z, y, kind)
    p = fitted.probability(z)
    assert np.all(np.isfinite(p)) and np.all(p[y == 1] > 0.5) and np.all(p[y == 0] < 0.5)
    assert p.max() < 0.99 if scale < 40 else p.max() <= 1


@given(
    st.lists(st.tuples(st.floats(-40, 40), st.floats(0, 1)), min_size=3, max_size=40).filter(
        lambda rows: len({t for _, t in rows}) > 1
    )
)
@settings(max_examples=25, deadline=None)
def test_calibration_is_monotonic(rows: list[tuple[float, float]]) -> None:
    z, t = np.array(rows).T
    for kind in ("temperature", "platt"):
        fitted = calibrate.fit(z, t, kind)
        assert fitted.slope > 0 and np.all(np.isfinite(fitted.probability(z)))
        assert np.all(np.diff(fitted.probability(np.sort(z))) >= 0)


def test_calibration_raises() -> None:
    with pytest.raises(UserError, match="one target"):
        calibrate.fit(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    with pytest.raises(UserError, match="No calibration is called 'isotonic'"):
        calibrate.fit(np.zeros(3), np.array([0, 1, 1]), "isotonic")
    with pytest.raises(UserError, match="key `slope`"):
        records.decode(b'{"slope": -1}', calibrate.Calibration, "a calibration")


# folds


def test_case_folds_do_not_split_cases_and_balance_positives() -> None:
    rng = np.random.default_rng(0)
    case = rng.integers(0, 40, 900)
    label = (rng.random(900) < 0.2).astype(float)
    fold = case_folds(case, label)
    assert all(len(set(fold[case == c])) == 1 for c in range(40))
    positives = np.bincount(fold, weights=label)
    assert len(positives) == 5 and positives.max() - positives.min() <= 6
    assert np.array_equal(fold, case_folds(case, label)) and not np.array_equal(fold, case_folds(case, label, seed=1))
    assert case_folds(np.zeros(5), np.ones(5)).max() == 0


def test_case_folds_do_not_put_a_class_of_several_cases_into_one_fold() -> None:
    counts = [13, 11, 10, 9, 7] + [15] * 5
    case, label = np.repeat(np.arange(10), counts), np.repeat([1.0] * 5 + [0.0] * 5, counts)
    fold = case_folds(case, label)
    assert all(len(set(fold[label == value])) > 1 for value in (0, 1))
    assert all(len(set(fold[case == c])) == 1 for c in range(10))


# threshold


def brute_force_best(p: np.ndarray, y: np.ndarray) -> float:
    return max(((p[y == 1] >= t).mean() + (p[y == 0] < t).mean()) / 2 for t in np.unique(p))


def test_balanced_accuracy_threshold_is_near_the_optimum_with_less_variance() -> None:
    smooth, raw = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y = (rng.random(2500) < 0.22).astype(float)
        p = 1 / (1 + np.exp(-np.where(y == 1, rng.normal(0.6, 1.6, 2500), rng.normal(-1.8, 1.2, 2500))))
        t = threshold.fit(p, y, np.arange(2500) % 90, "balanced_accuracy")
        at = ((p[y == 1] >= t.value).mean() + (p[y == 0] < t.value).mean()) / 2
        assert at > brute_force_best(p, y) - 0.012
        assert abs(t.balanced_accuracy - at) < 0.02 and t.balanced_accuracy == (t.sensitivity + t.specificity) / 2
        smooth.append(calibrate.logit_of(t.value))
        cuts = np.unique(p)
        heights = [((p[y == 1] >= c).mean() + (p[y == 0] < c).mean()) for c in cuts]
        raw.append(calibrate.logit_of(cuts[int(np.argmax(heights))]))
    assert np.std(smooth) < np.std(raw)


def test_threshold_of_two_equal_normal_densities_is_in_the_middle() -> None:
    q = np.linspace(0.005, 0.995, 300)
    from scipy.stats import norm

    z = np.concatenate([norm.ppf(q) - 1.5, norm.ppf(q) + 0.5])
    y = np.repeat([0.0, 1.0], 300)
    t = threshold.fit(calibrate.sigmoid(z), y, np.arange(600), "balanced_accuracy")
    assert calibrate.logit_of(t.value) == pytest.approx(-0.5, abs=0.02)


def test_threshold_of_separable_classes_is_in_the_gap() -> None:
    p, y = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])
    assert 0.2 < threshold.fit(p, y, np.arange(4), "balanced_accuracy").value < 0.8
    same = threshold.fit(np.full(4, 0.3), y, np.arange(4), "balanced_accuracy")
    assert same.value == pytest.approx(0.3)


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), min_size=4, max_size=60), st.floats(0.05, 0.95))
@example([(0.5, False), (0.001, False), (0.0010000000000000002, True)], 0.5)
@settings(max_examples=60, deadline=None)
def test_sensitivity_threshold_is_the_highest(rows: list[tuple[float, bool]], sensitivity: float) -> None:
    p, y = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    if y.min() == y.max():
        return
    t = threshold.fit(p, y, np.arange(len(y)), f"sensitivity({sensitivity:.4f})").value
    required = float(f"{sensitivity:.4f}")
    assert (p[y == 1] >= t).mean() >= required - 1e-9
    higher = p[p >= t]
    above = np.nextafter(higher.min(), 1) if len(higher) else 1.0
    assert (p[y == 1] >= above).mean() < required


@pytest.mark.parametrize("rules", [thresholds, abstentions], ids=["thresholds", "abstentions"])
def test_every_rule_is_documented(rules: Registry[type]) -> None:
    for rule in map(rules.get, rules):
        assert arguments.summary(rule).endswith(".") and all(a.meaning for a in arguments.arguments_of(rule))


def test_threshold_rules() -> None:
    p, y = np.array([0.2, 0.7, 0.4]), np.array([0, 1, 1])
    assert threshold.fit(p, y, np.arange(3), "half").value == 0.5
    assert threshold.fit(p, y, np.arange(3), "at(0.37)").value == 0.37
    for rule in ("youden", "sensitivity", "sensitivity(2)", "half(3)", "at(1e999)", "half | half"):
        with pytest.raises(UserError):
            threshold.fit(p, y, np.arange(3), rule)
    with pytest.raises(UserError, match="one class"):
        threshold.fit(p, np.ones(3), np.arange(3), "balanced_accuracy")


# abstention


def test_abstention_rules() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(1000) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-(2 * (y - 0.5) + rng.normal(0, 1.2, 1000))))
    band = abstain.fit(p, y, 0.4, "share(0.2)")
    assert band.share == pytest.approx(0.2, abs=0.002)
    assert calibrate.logit_of(band.high) - calibrate.logit_of(0.4) == pytest.approx(
        calibrate.logit_of(0.4) - calibrate.logit_of(band.low)
    )
    reaching = abstain.fit(p, y, 0.4, "balanced_accuracy(0.87)")
    certain = ~reaching.uncertain(p)
    accuracy = ((p[certain & (y == 1)] >= 0.4).mean() + (p[certain & (y == 0)] < 0.4).mean()) / 2
    assert accuracy >= 0.87 and reaching.certain_balanced_accuracy == pytest.approx(accuracy)
    assert 0 < reaching.share < 0.5
    with pytest.raises(UserError, match="No abstention band reaches"):
        abstain.fit(p, y, 0.4, "balanced_accuracy(0.999)")
    nothing = abstain.fit(p, y, 0.4, "none")
    assert not nothing.uncertain(p).any()
    for rule in ("share", "share(0.9)", "all", "none(1)"):
        with pytest.raises(UserError):
            abstain.fit(p, y, 0.4, rule)


def test_risk_coverage_by_hand() -> None:
    p, y = np.array([0.1, 0.4, 0.6, 0.6, 0.95]), np.array([0, 1, 1, 0, 1])
    table = risk_coverage(p, y, 0.5)
    assert list(table["coverage"]) == pytest.approx([1.0, 0.4, 0.2])
    assert list(table["error"]) == pytest.approx([0.4, 0.0, 0.0])
    assert table["balanced_accuracy"].iloc[0] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert np.isnan(table["balanced_accuracy"].iloc[2])
    for width, coverage in zip(table["width"], table["coverage"], strict=True):
        certain = np.abs(calibrate.logit_of(p)) >= width
        assert certain.mean() == pytest.approx(coverage)


# the decision


def fit_decision(scores: Scores, **kw: str) -> Decision:
    rows = scores.joined(mean_logit(scores.take(part="out-of-fold")))
    return decision.fit(rows, **kw)


def test_decision_round_trip_and_apply(make_scores: Callable[..., Scores]) -> None:
    scores = make_scores(patches=600)
    fitted = fit_decision(scores, calibration="platt", abstention="share(0.1)")
    again = records.decode(records.encode(fitted), Decision, "a decision")
    rows = scores.joined(mean_logit(scores.take(part="test")))
    one, two = fitted.apply(rows), again.apply(rows)
    assert np.array_equal(one["probability"], two["probability"]) and list(one["decision"]) == list(two["decision"])
    assert set(one["class"]) == {"normal", "atypical"} and set(one["decision"]) == {"normal", "atypical", "uncertain"}
    sure = one["decision"] != "uncertain"
    assert (one["class"][sure] == one["decision"][sure]).all()
    assert ((one["probability"] >= fitted.threshold.value) == (one["class"] == "atypical")).all()
    assert (
        fitted.fitted_on.members == 1
        and fitted.fitted_on.rows == 300
        and len(fitted.digests) == 300
        and "class" not in rows.columns
    )


def test_fit_raises_for_test_rows(some: Scores) -> None:
    with pytest.raises(UserError, match=r"^M002: .* rows of part 'test'"):
        decision.fit(some.joined(mean_logit(some)))


def test_decision_raises_for_test_images_of_its_fit(some: Scores) -> None:
    fitted = fit_decision(some, calibration="platt")
    out_of_fold = some.joined(mean_logit(some.take(part="out-of-fold")))
    fitted.apply(out_of_fold)
    with pytest.raises(UserError, match=r"^M004: .* fitted on 60 of these images; the first: 'a/0'"):
        fitted.apply(out_of_fold.assign(part="test"))
    fitted.apply(out_of_fold.assign(part="test"), guard=False)


def test_fit_does_not_depend_on_the_test_part(some: Scores) -> None:
    flipped = some.patches.assign(
        label=some.patches["label"].where(some.patches["dataset"] == "a", 1 - some.patches["label"])
    )
    assert fit_decision(some) == fit_decision(Scores(flipped, some.scores))


def test_cross_fitted_is_by_case(make_scores: Callable[..., Scores]) -> None:
    scores = make_scores(patches=800, cases=30)
    rows = scores.joined(mean_logit(scores.take(part="out-of-fold")))
    fitted = decision.fit(rows)
    cross_fitted = decision.cross_fitted(rows, fitted)
    assert sorted(cross_fitted["patch_id"]) == sorted(rows["patch_id"])
    fold = case_folds(decision.case_keys(rows), rows["label"].to_numpy())
    held_out, others = rows[fold == 0], rows[fold != 0]
    by_hand = decision.fit(others).apply(held_out)
    got = cross_fitted.set_index("patch_id").loc[held_out["patch_id"], "probability"]
    assert np.allclose(got, by_hand["probability"])


def test_invalid_decisions_raise(some: Scores) -> None:
    good = records.to_builtins(fit_decision(some))
    for path, value in (
        (("threshold", "value"), 7),
        (("calibration", "slope"), -1),
        (("abstention", "low"), "x"),
        (("rules",), ["half"]),
    ):
        record = json.loads(json.dumps(good))
        parent = record
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = value
        with pytest.raises(UserError):
            records.decode(json.dumps(record).encode(), Decision, "a decision")
    with pytest.raises(UserError, match="is not valid"):
        records.decode(b"[]", Decision, "a decision")
