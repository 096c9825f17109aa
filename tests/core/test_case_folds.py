"""Folds of cases: grouped, balanced and stored numbers."""

from __future__ import annotations

import hashlib

import numpy as np

from mitotype.core.case_folds import case_folds, stratified_case_folds


def test_folds_are_grouped_balanced_and_unchanged() -> None:
    rng = np.random.default_rng(0)
    case = np.repeat([f"c{number}" for number in range(40)], rng.integers(2, 30, 40))
    label = (rng.random(len(case)) < 0.3).astype(float)
    digests = []
    for fold in (case_folds(case, label, folds=4, seed=3), stratified_case_folds(case, label, folds=4, seed=3)):
        assert set(fold) == {0, 1, 2, 3} and all(len(set(fold[case == name])) == 1 for name in set(case))
        atypical = np.bincount(fold, weights=label)
        assert atypical.max() - atypical.min() <= 4
        digests.append(hashlib.sha256(fold.astype("int8").tobytes()).hexdigest()[:12])
    assert digests == ["bdd9610bb68f", "2282d80e6818"]
