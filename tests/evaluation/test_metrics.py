"""Metrics against closed forms and scikit-learn; undefined is nan with a reason; polarity."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotype.core.errors import UserError
from mitotype.evaluation.metrics import Metric, Number, compute, metrics, metrics_of
from mitotype.evaluation.metrics.metric import NO_PATCH
from mitotype.evaluation.metrics.probability import ece_bin

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 20)), min_size=2, max_size=60)


def split(rows: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    label, score = np.array(rows).T
    return label, score / 20


@given(ROWS)
@settings(max_examples=150, deadline=None)
def test_against_scikit_learn(rows: list[tuple[float, int]]) -> None:
    from sklearn import metrics as oracle

    label, p = split(rows)
    if label.min() == label.max():
        return
    predicted = (p >= 0.5).astype(int)
    pairs = {
        "balanced_accuracy": oracle.balanced_accuracy_score(label, predicted),
        "sensitivity": oracle.recall_score(label, predicted),
        "specificity": oracle.recall_score(label, predicted, pos_label=0),
        "accuracy": oracle.accuracy_score(label, predicted),
        "auroc": oracle.roc_auc_score(label, p),
        "auprc": oracle.average_precision_score(label, p),
        "brier": oracle.brier_score_loss(label, p),
    }
    for name, expected in pairs.items():
        assert compute(name, label, predicted, p).value == pytest.approx(expected, abs=1e-12), name
    inside = np.clip(p, 0.01, 0.99)
    assert compute("log_loss", label, predicted, inside).value == pytest.approx(oracle.log_loss(label, inside))


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_auroc_is_the_exact_fraction_and_symmetric(rows: list[tuple[float, int]]) -> None:
    label, p = split(rows)
    if label.min() == label.max():
        return
    pairs = [(a, b) for a in p[label == 1] for b in p[label == 0]]
    exact = sum((Fraction(1) if a > b else Fraction(1, 2) if a == b else Fraction(0)) for a, b in pairs) / len(pairs)
    assert auroc(label, p) == float(exact)
    assert auroc(label, 1 - p) == pytest.approx(1 - float(exact))


def auroc(label: np.ndarray, score: np.ndarray) -> float:
    return compute("auroc", label, score, score).value


def test_auroc_of_separable_scores_is_one_or_zero() -> None:
    label, p = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9])
    assert auroc(label, p) == 1.0 and auroc(label, 1 - p) == 0.0


def test_ece_by_hand() -> None:
    """Two bins: [.2, .3) with P .25 and one of four atypical: gap 0; [.9, 1] with P .95 and one of two: gap .45."""
    p = np.array([0.25] * 4 + [0.95] * 2)
    label = np.array([1.0, 0, 0, 0, 1, 0])
    assert compute("ece", label, p, p).value == pytest.approx(2 / 6 * 0.45)
    assert list(ece_bin(np.array([0.0, 0.0999, 0.1, 0.95, 1.0]))) == [0, 0, 1, 9, 9]


def test_ece_of_calibrated_scores_is_small() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    assert compute("ece", (rng.random(200_000) < p).astype(float), p, p).value < 0.005


def test_undefined_is_nan_with_a_reason() -> None:
    p = np.array([0.2, 0.7])
    c = (p >= 0.5).astype(int)
    for label, reason, names in (
        (np.zeros(2), "no atypical patch", ("sensitivity", "balanced_accuracy", "auroc", "auprc")),
        (np.ones(2), "no normal patch", ("specificity", "balanced_accuracy", "auroc", "auprc")),
    ):
        for name in names:
            number = compute(name, label, c, p)
            assert np.isnan(number.value) and number.reason == reason
    nothing = np.zeros(0)
    for name in metrics:
        assert compute(name, nothing, nothing, nothing).reason == NO_PATCH
    with pytest.raises(ValueError, match="reason"):
        Number(float("nan"))
    with pytest.raises(UserError, match=r"No metric is called 'auc'"):
        compute("auc", p, p, p)


@pytest.mark.parametrize("name", metrics.names())
def test_a_weighted_row_counts_as_often_as_a_repeated_one(name: str) -> None:
    rng = np.random.default_rng(1)
    label, p = (rng.random(80) < 0.4).astype(float), np.round(rng.random(80), 1) * 0.98 + 0.01
    weight = rng.integers(1, 4, 80)
    repeated = np.repeat(np.arange(80), weight)
    expected = compute(name, label[repeated], p[repeated] > 0.5, p[repeated]).value
    weighted = metrics.get(name)().number(label, p > 0.5, p, p, weight.astype(float)).value
    assert weighted == pytest.approx(expected, abs=1e-8) and np.isfinite(weighted)


def test_every_metric_states_its_facts() -> None:
    known = metrics_of()
    assert list(metrics_of("set"))[:2] == ["balanced_accuracy", "sensitivity"]
    assert (
        len({metric.order for metric in known.values()})
        == len({metric.title for metric in known.values()})
        == len(known)
    )
    for metric in known.values():
        assert metric.definition.endswith(".") and metric.reads in ("class", "probability", "score")
        assert metric.scale in ("unit", "positive", "real") and ("calibration" in metric.tables) == (
            metric.ideal is not None
        )
    with pytest.raises(TypeError, match="Nameless has no title, larger_is_better"):
        type("Nameless", (Metric,), {"__doc__": "A metric.", "head": "x", "reads": "class", "scale": "unit"})
