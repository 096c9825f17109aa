"""Adaptation of a decision: towards the labels with their number, towards the decision without, refused below a minimum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from mitotype.core.errors import UserError
from mitotype.core.run_layout import Threshold
from mitotype.scores import adapt
from mitotype.scores.calibrate import Calibration
from mitotype.scores.decision import Decision

SHIPPED = Decision(
    calibration=Calibration("platt", 2.0, -1.0),
    threshold=Threshold(float(expit(-1.0)), "balanced_accuracy"),  # at a raw logit of 0
    rules=("platt", "balanced_accuracy", "none"),
    digests=("a" * 16,),
)


def labels(n: int, *, moved: float = 0.0, share: float = 0.3, seed: int = 0) -> pd.DataFrame:
    """Return two unit normal classes at moved ± 1, in cases of five figures."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < share).astype(float)
    return pd.DataFrame(
        {
            "patch_id": [f"p{i}" for i in range(n)], "dataset": "lab", "case_id": [f"c{i // 5}" for i in range(n)], "part": "test",
            "logit": 2 * label - 1 + moved + rng.normal(0, 1, n), "label": label, "digest": [f"{i:064x}" for i in range(n)],
        }
    )  # fmt: skip


def raw_threshold(decision: Decision) -> float:
    p = decision.threshold.value
    return (np.log(p / (1 - p)) - decision.calibration.intercept) / decision.calibration.slope


def test_many_labels_move_the_threshold_to_their_own_and_few_leave_it_near() -> None:
    many, few = (adapt.fit(labels(n, moved=1.0), SHIPPED) for n in (2000, 60))
    assert raw_threshold(many.decision) == pytest.approx(1.0, abs=0.2)
    assert many.weight > 0.8 > few.weight > 0
    assert abs(raw_threshold(few.decision)) < abs(raw_threshold(many.decision))


def test_many_labels_calibrate() -> None:
    rows = labels(4000, moved=1.0, share=0.1, seed=1)
    decided = adapt.fit(rows, SHIPPED).decision.apply(rows, guard=False)
    expected = expit(2 * (rows["logit"] - 1.0) + np.log(0.1 / 0.9))
    assert np.abs(decided["probability"] - expected).max() < 0.06


def test_a_threshold_that_is_given_stays_and_the_digests_are_added() -> None:
    fixed = Decision(threshold=Threshold(0.4, "at(0.4)"), rules=("identity", "at(0.4)", "none"), digests=("a" * 16,))
    adapted = adapt.fit(labels(60), fixed)
    assert (adapted.decision.threshold.value, adapted.weight) == (0.4, 0.0)
    assert set(adapted.decision.digests) == {"a" * 16, *(f"{i:064x}"[:16] for i in range(60))}
    with pytest.raises(UserError, match="M004"):
        adapted.decision.apply(labels(60))


def test_each_case_is_decided_by_the_labels_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt, "N_BOOT", 3)
    rows = labels(100)
    flipped = rows.assign(label=np.where(rows["case_id"] == "c3", 1 - rows["label"], rows["label"]))
    own = (rows["case_id"] == "c3").to_numpy()
    one, two = (adapt.cross_fitted(part, SHIPPED, folds=20) for part in (rows, flipped))
    assert np.array_equal(one["probability"][own], two["probability"][own])
    assert not np.array_equal(one["probability"][~own], two["probability"][~own])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (labels(49), "49 labelled figures .50 are needed"),
        (labels(60).assign(label=[1.0] * 9 + [0.0] * 51), "9 atypical figures .10 are needed"),
        (labels(60).assign(label=[0.0] * 9 + [1.0] * 51), "9 normal figures"),
        (labels(60).assign(case_id=["a", "b", "c", "d"] * 15), "4 cases .5 are needed"),
        (labels(60).assign(label=[1.0] * 10 + [0.0] * 50), "2 cases with atypical figures"),
    ],
)
def test_too_few_labels_are_refused(rows: pd.DataFrame, message: str) -> None:
    with pytest.raises(UserError, match=f"too few to adapt to: .*{message}"):
        adapt.check_enough(rows)


def test_enough_labels_are_taken() -> None:
    adapt.check_enough(labels(50, share=0.5))


def test_cases_of_one_class_each_are_cross_fitted() -> None:
    rows = labels(125)
    counts, value = [13, 11, 10, 9, 7] + [15] * 5, [1.0] * 5 + [0.0] * 5
    rows["label"], rows["case_id"] = np.repeat(value, counts), np.repeat([f"c{i}" for i in range(10)], counts)
    rows["logit"] = 2 * rows["label"] - 1 + np.random.default_rng(0).normal(0, 1, 125)
    adapt.check_enough(rows)
    decided = adapt.cross_fitted(rows, SHIPPED)
    assert len(decided) == 125 and decided["probability"].notna().all()
