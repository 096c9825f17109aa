"""Splits: grouped by case, balanced and reproducible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotype import datasets
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort, join
from mitotype.datasets import splits
from tests.datasets import example_folders as examples


def cohort_of(cases: int, seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    case, label = [], []
    for number in range(cases):
        size = int(rng.integers(2, 12))
        case += [f"c{number}"] * size
        label += [1.0, 0.0, *(rng.random(size - 2) < 0.25).astype(float)]
    ids = [f"x/{number}" for number in range(len(case))]
    domain = [f"d{int(name[1:]) % 3}" for name in case]
    return examples.cohort("x", {"patch_id": ids, "label": label, "case_id": case, "domain": domain})


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 40), st.integers(2, 5), st.integers(0, 1000))
def test_folds_are_grouped_by_case_and_balanced(cases: int, folds: int, seed: int) -> None:
    cohort = cohort_of(cases, seed)
    fold = splits.grouped_folds(cohort, folds, seed)
    rows = cohort.rows.assign(fold=fold.loc[cohort.rows["patch_id"]].to_numpy())
    assert set(fold) == set(range(1, folds + 1))
    assert (rows.groupby("case_id")["fold"].nunique() == 1).all()
    held = rows.groupby("fold")["label"].agg(["size", "sum"])
    largest = rows.groupby("case_id").size().max()
    assert held["size"].max() - held["size"].min() <= 2 * largest


def test_folds_depend_on_the_seed_and_not_on_the_order() -> None:
    cohort = cohort_of(20)
    fold = splits.grouped_folds(cohort, 4, 7)
    shuffled = Cohort("x", cohort.rows.sample(frac=1, random_state=1).reset_index(drop=True))
    assert splits.digest(splits.grouped_folds(shuffled, 4, 7)) == splits.digest(fold)
    assert splits.digest(splits.grouped_folds(cohort, 4, 8)) != splits.digest(fold)
    assert splits.digest(fold)[:12] == "b75238357c47"


def test_folds_are_as_balanced_as_those_of_scikit_learn() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    cohort = cohort_of(60, 3)
    rows = cohort.rows

    def imbalance(fold: np.ndarray) -> float:
        held = rows["label"].groupby(fold).agg(["sum", "size"])
        return float((held / held.sum()).std().mean())

    ours = imbalance(splits.grouped_folds(cohort, 5, 0).loc[rows["patch_id"]].to_numpy())
    theirs = np.zeros(len(rows), dtype=int)
    parts = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(rows, rows["label"], rows["case_id"])
    for number, (_, held) in enumerate(parts):
        theirs[held] = number
    assert ours <= 1.5 * imbalance(theirs) + 0.01


def test_impossible_splits_are_errors() -> None:
    with pytest.raises(UserError, match="3 cases, too few for 4"):
        splits.grouped_folds(cohort_of(3), 4, 0)
    with pytest.raises(UserError, match="no split"):
        splits.grouped_folds(cohort_of(3), 1, 0)
    single = examples.cohort("x", {"patch_id": list("abcd"), "label": [1.0, 0.0, 0.0, 0.0]})
    with pytest.raises(UserError, match="no atypical patch"):
        splits.grouped_folds(single, 2, 0)


def test_leave_one_group_out() -> None:
    cohort = cohort_of(12)
    fold = splits.leave_one_group_out(cohort)
    assert set(zip(cohort.rows["domain"], fold, strict=True)) == {("d0", 1), ("d1", 2), ("d2", 3)}
    mixed = Cohort("x", cohort.rows.assign(domain=["d0", "d1"] * (len(cohort) // 2) + ["d0"] * (len(cohort) % 2)))
    with pytest.raises(UserError, match="M001"):
        splits.leave_one_group_out(mixed)
    with pytest.raises(UserError, match="cannot leave one scanner out"):
        splits.leave_one_group_out(cohort, "scanner")


def test_repeated_figures_are_dropped_and_noted() -> None:
    columns = {"label": [0.0, 1.0], "case_id": ["s", "s"], "x_px": [1.0, 2.0], "y_px": [1.0, 1.0]}
    a = examples.cohort("a", {"patch_id": ["a/1", "a/2"], **columns})
    b = examples.cohort("b", {"patch_id": ["b/1", "b/2"], **columns, "x_px": [2.0, np.nan]})
    both = splits.drop_repeated_figures(join([a, b]))
    assert both.rows["patch_id"].tolist() == ["a/1", "a/2", "b/2"] and "1 patches repeat a figure" in both.notes[0]
    assert splits.drop_repeated_figures(a) is a


@pytest.mark.real
def test_published_folds(shared_data: Path) -> None:
    (train,) = datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="train")
    fold = splits.published_folds(train)
    assert fold.value_counts().sort_index().tolist() == [592, 805, 451, 379, 667]
    assert splits.published_folds(train, "fixed").value_counts().sort_index().tolist() == [563, 564, 632, 571, 564]
    assert list(fold.index) == list(train.rows["patch_id"])
    (test,) = datasets.read(f"amibr-test={shared_data / 'AMi-Br_Benchmark'}", part="test")
    with pytest.raises(UserError, match="are of AMi-Br's training patches"):
        splits.published_folds(test)
    with pytest.raises(UserError, match="Nearest: study"):
        splits.published_folds(train, "studi")
    domains = splits.leave_one_group_out(train)
    assert domains.nunique() == 5
    own = splits.grouped_folds(train, 5, 0)
    held = train.rows["label"].groupby(own.to_numpy()).agg(["size", "mean"])
    assert held["size"].between(480, 680).all() and held["mean"].between(0.19, 0.27).all()
