"""Combiners: greedy selection against a plain loop and every multiset, given weights, classifiers, cross-fitting."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest

from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.scores.calibrate import log_loss
from mitotype.scores.combiners import FittedSum, combiners
from mitotype.scores.combiners.greedy import best_error, select
from mitotype.scores.combiners.sklearn_classifier import FittedClassifier
from mitotype.scores.sources import SourceRows


def make_rows(n: int = 300, noise: tuple[float, ...] = (1.0, 1.5, 6.0), seed: int = 0) -> SourceRows:
    rng = np.random.default_rng(seed)
    label_N = (rng.random(n) < 0.3).astype(float)
    logit_NS = np.stack([2 * label_N - 1 + rng.normal(0, sd, n) for sd in noise], axis=1)
    patches = pd.DataFrame({"patch_id": [f"p{i}" for i in range(n)]})
    return SourceRows(list("abcdef")[: len(noise)], logit_NS, label_N, rng.integers(0, 30, n).astype(str), patches)


def weights(text: str, rows: SourceRows, seed: int = 0) -> np.ndarray:
    fitted = combiners.read(text).fit(rows, seed)
    assert isinstance(fitted, FittedSum)
    return fitted.weight_S


def threshold_error(logit_N: np.ndarray, label_N: np.ndarray) -> float:
    """Return the least error over every threshold, one by one."""
    thresholds = [*np.unique(logit_N), np.inf]
    rates = [((logit_N[label_N == 1] >= t).mean() + (logit_N[label_N == 0] < t).mean()) / 2 for t in thresholds]
    return 1 - max(rates)


@pytest.mark.parametrize(("metric", "loss"), [("log_loss", log_loss), ("balanced_accuracy", threshold_error)])
def test_greedy_equals_a_plain_loop(metric: str, loss: Callable[[np.ndarray, np.ndarray], float]) -> None:
    rows = make_rows()
    path: list[int] = []
    losses = []
    for _ in range(8):
        value, source = min((loss(rows.logit_NS[:, [*path, s]].mean(axis=1), rows.label_N), s) for s in range(3))
        path.append(source)
        losses.append(value)
    best = path[: int(np.argmin(losses)) + 1]
    expected = [best.count(source) / len(best) for source in range(3)]
    assert weights(f"greedy({metric}, size=8)", rows) == pytest.approx(expected)
    assert len(set(best)) > 1


def test_greedy_reaches_the_best_of_all_small_multisets() -> None:
    rows = make_rows(80, (1.0, 1.2, 1.4), seed=3)
    every = [m for size in (1, 2, 3) for m in combinations_with_replacement(range(3), size)]
    losses = [log_loss(rows.logit_NS[:, list(m)].mean(axis=1), rows.label_N) for m in every]
    weight_S = weights("greedy(size=3)", rows)
    assert log_loss(rows.logit_NS @ weight_S, rows.label_N) == pytest.approx(min(losses))
    first = select(rows.logit_NS, rows.label_N, log_loss, 1)
    assert first.tolist() == np.eye(3)[int(np.argmin(losses[:3]))].tolist()


def test_ties_are_one_threshold() -> None:
    label_N = np.array([1.0, 0.0, 1.0, 0.0])
    assert best_error(np.zeros(4), label_N) == 0.5
    assert best_error(np.array([1.0, 1.0, 1.0, 0.0]), label_N) == pytest.approx(
        threshold_error(np.array([1, 1, 1, 0]), label_N)
    )


def test_bags_follow_from_the_seed() -> None:
    rows = make_rows(noise=(1.0, 1.1, 1.2, 1.3, 1.4, 1.5))
    first = weights("greedy(bags=7)", rows, 1)
    assert first.sum() == pytest.approx(1) and np.array_equal(first, weights("greedy(bags=7)", rows, 1))
    assert not np.array_equal(first, weights("greedy(bags=7)", rows, 2))


def test_given_weights() -> None:
    rows = make_rows()
    assert weights("weights(0.5, 0, -1)", rows).tolist() == [0.5, 0, -1]
    assert weights("mean", rows).tolist() == [1 / 3] * 3
    for text in ("weights", "weights(0, 0, 0)", "weights(a, b, c)", "weights(a=1)"):
        with pytest.raises(UserError, match="gives no weights"):
            combiners.read(text)
    with pytest.raises(UserError, match="2 weights and 3 sources"):
        weights("weights(1, 1)", rows)


@pytest.mark.parametrize(
    "text", ["greedy", "sklearn(LogisticRegression)", "sklearn(ExtraTreesClassifier, n_estimators=5)"]
)
def test_each_case_is_combined_by_a_fit_on_others(text: str) -> None:
    rows = make_rows()
    rule = combiners.read(text)
    _, logit_N = rule.cross_fit(rows, 3, 0)
    fold_N = case_folds(rows.case_N, rows.label_N, folds=3, seed=0)
    flipped = SourceRows(
        rows.sources, rows.logit_NS, np.where(fold_N == 1, 1 - rows.label_N, rows.label_N), rows.case_N, rows.rows
    )
    expected = rule.fit(flipped.take(fold_N != 1), 0).combine(rows.logit_NS[fold_N == 1])
    assert np.array_equal(logit_N[fold_N == 1], expected)


def test_a_classifier_is_one_of_scikit_learn_with_its_parameters() -> None:
    fitted = combiners.read("sklearn(RandomForestClassifier, n_estimators=3)").fit(make_rows(), 0)
    assert isinstance(fitted, FittedClassifier) and len(fitted.estimator.estimators_) == 3
    assert np.isfinite(fitted.combine(make_rows().logit_NS)).all()
    for text, message in (
        ("sklearn", "names no classifier"),
        ("sklearn(os.system)", "is not a number"),
        ("sklearn(Pipeline)", "No classifier of scikit-learn is called 'Pipeline'"),
        ("sklearn(RandomForestClassifier, estimators=3)", "Nearest: n_estimators"),
    ):
        with pytest.raises(UserError, match=message):
            combiners.read(text)
    with pytest.raises(UserError, match="cannot be fitted: The 'n_estimators' parameter"):
        combiners.read("sklearn(RandomForestClassifier, n_estimators=-3)").fit(make_rows(), 0)
