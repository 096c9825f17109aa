"""Shift: batches of known shifts and shares, closed forms, and nothing below 64 figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from mitotype.core.errors import UserError
from mitotype.scores import shift
from mitotype.scores.calibrate import logit_of


def domains(
    shifts: list[float], shares: list[float], n: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return logits, labels, domains and cases of 20 figures: two normal classes that move together."""
    rng = np.random.default_rng(seed)
    label_N = np.concatenate([rng.random(n) < share for share in shares]).astype(float)
    move_N = np.repeat(shifts, n)
    logit_N = 2 * label_N - 1 + move_N + rng.normal(0, 1, len(label_N))
    return logit_N, label_N, np.repeat(np.arange(len(shifts)), n), np.arange(len(label_N)) // 20


def test_a_shift_of_both_classes_is_removed() -> None:
    reference = shift.fit(*domains([-0.6, -0.2, 0.2, 0.6], [0.25] * 4))
    assert reference.slope > 0.9
    batch, *_ = domains([0.8], [0.25], seed=1)
    assert shift.estimate(reference, batch, cases=100) == pytest.approx(0.8, abs=0.15)


def test_shares_that_differ_are_no_shift() -> None:
    """Domains that differ only in their shares: the location moves, and nothing is corrected."""
    reference = shift.fit(*domains([0, 0, 0, 0], [0.1, 0.2, 0.4, 0.5]))
    assert reference.slope < 0.2
    batch, *_ = domains([0], [0.5], seed=1)
    assert abs(np.median(batch) - reference.location) > 0.4
    assert abs(shift.estimate(reference, batch)) < 0.1


def test_it_is_the_formula_and_shrinks_with_the_batch() -> None:
    reference = shift.ShiftReference(location=-1.0, variance=2.0, between_cases=0.3, between=0.09, slope=0.5)
    for n in (64, 100, 10_000):
        batch = np.full(n, 1.0)
        expected = 0.5 * 0.09 / (0.09 + 0.3 / 5 + np.pi / 2 * 2.0 / n) * 2.0
        assert shift.estimate(reference, batch, cases=5) == pytest.approx(expected)
    assert shift.estimate(shift.ShiftReference(0.0, 1.0, 0.0, 0.0, 1.0), np.full(100, 3.0)) == 0


def test_below_64_figures_nothing_changes() -> None:
    reference = shift.fit(*domains([-0.6, 0, 0.6], [0.25] * 3))
    batch, *_ = domains([2.0], [0.9], n=63, seed=1)
    assert shift.estimate(reference, batch) == 0.0
    share, p = shift.label_shift(expit(batch), 0.25)
    assert np.array_equal(p, expit(batch)) and share == expit(batch).mean()
    assert shift.estimate(reference, np.append(batch, 2.0)) != 0.0


def test_cases_that_differ_make_the_shift_of_one_case_uncertain() -> None:
    logit_N, label_N, domain_N, case_N = domains([-0.3, 0.0, 0.3], [0.25] * 3)
    moved = logit_N + np.random.default_rng(3).normal(0, 0.7, case_N.max() + 1)[case_N]
    reference = shift.fit(moved, label_N, domain_N, case_N)
    assert reference.between_cases == pytest.approx(0.49, rel=0.3)
    batch = np.full(500, 1.0)
    assert 0 < 3 * shift.estimate(reference, batch) < shift.estimate(reference, batch, cases=30)


def test_few_domains_are_refused() -> None:
    with pytest.raises(UserError, match="2 domains"):
        shift.fit(*domains([0, 1], [0.3, 0.3]))


def test_expectation_maximisation_reaches_the_closed_form() -> None:
    """Of scores with two values the likelihood Σ n log(s r + 1 - s) has its maximum where its derivative is 0."""
    prevalence, values, counts = 0.2, np.array([0.1, 0.7]), np.array([60, 40])
    ratio = values * (1 - prevalence) / ((1 - values) * prevalence) - 1
    share = -(counts @ ratio) / (counts.sum() * ratio.prod())
    estimated, p = shift.label_shift(np.repeat(values, counts), prevalence)
    assert 0 < share < 1
    assert estimated == pytest.approx(share, abs=1e-6) and p.mean() == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.6])
def test_simulated_shares_are_recovered_and_the_threshold_at_the_prior_decides_the_same(share: float) -> None:
    rng = np.random.default_rng(2)
    label_N = rng.random(20_000) < share
    z = 2 * label_N - 1 + rng.normal(0, 1, len(label_N))
    prevalence = 0.25
    calibrated = expit(2 * z + logit_of(prevalence))  # the exact posterior of two unit normals at ∓1
    estimated, p = shift.label_shift(calibrated, prevalence)
    assert estimated == pytest.approx(share, abs=0.015)
    assert p.mean() == pytest.approx(label_N.mean(), abs=0.015)
    clear = np.abs(calibrated - prevalence) > 1e-9
    assert np.array_equal((p >= estimated)[clear], (calibrated >= prevalence)[clear])
