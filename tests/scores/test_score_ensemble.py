"""Ensembles: means against plain loops, spread, names, wholeness, and the stack against its limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mitotype.core.mistakes import Mistake
from mitotype.scores import stack
from mitotype.scores.ensemble import Combine, equal_weights, mean_logit, mean_probability
from mitotype.scores.table import Scores


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


def test_means_are_those_of_a_plain_loop(some: Scores) -> None:
    logits, probabilities = mean_logit(some), mean_probability(some)
    for _, row in logits.sample(15, random_state=0).iterrows():
        mine = some.scores[(some.scores["patch_id"] == row["patch_id"]) & (some.scores["part"] == row["part"])]
        members = [float(g["logit"].mean()) for _, g in mine.groupby("member")]
        assert row["logit"] == pytest.approx(np.mean(members))
        assert row["members"] == len(members) and row["views"] == 2
        assert np.isnan(row["spread"]) if len(members) == 1 else row["spread"] == pytest.approx(np.std(members, ddof=1))
        of_p = [float(np.mean([sigmoid(z) for z in g["logit"]])) for _, g in mine.groupby("member")]
        other = probabilities[
            (probabilities["patch_id"] == row["patch_id"]) & (probabilities["part"] == row["part"])
        ].iloc[0]
        assert sigmoid(other["logit"]) == pytest.approx(np.mean(of_p))
        if len(members) > 1:
            assert other["spread"] == pytest.approx(np.std(of_p, ddof=1))


def test_rows_follow_the_patches(some: Scores) -> None:
    assert list(mean_logit(some)["patch_id"]) == list(some.patches["patch_id"])


def test_choice_by_name(some: Scores) -> None:
    one = mean_logit(some, views=["identity"], members=["fold2"])
    assert set(one["members"]) == {1} and set(one["views"]) == {1}
    with pytest.raises(Mistake, match=r"No view is called 'identiy'\. Nearest: identity"):
        mean_logit(some, views=["identiy"])
    with pytest.raises(Mistake, match=r"No member is called 'fold9'"):
        mean_logit(some, members=["fold9"])


def test_a_missing_view_or_member_is_refused(some: Scores) -> None:
    last = some.scores.index[-1]
    with pytest.raises(Mistake, match=r"patch 'a/119' has 1 of 2 views of member 'fold3'"):
        mean_logit(Scores(some.patches, some.scores.drop(last)))
    lone = some.scores[~((some.scores["patch_id"] == "a/119") & (some.scores["member"] == "fold3"))]
    with pytest.raises(Mistake, match=r"has 0 of 2 views"):
        mean_logit(Scores(some.patches, lone))


def test_matrix_and_table_agree(some: Scores) -> None:
    """A bundle works on the matrix, a run on the table: the same numbers."""
    rows = mean_logit(some.take(part="test"))
    test = some.scores[some.scores["part"] == "test"]
    wide = test.groupby(["patch_id", "member"])["logit"].mean().unstack().loc[rows["patch_id"]]
    logit, spread = Combine().of_members(wide.to_numpy(), list(wide.columns))
    assert np.allclose(logit, rows["logit"], rtol=0, atol=1e-12) and np.allclose(spread, rows["spread"])


def two_sources(make: Callable[..., Scores]) -> Scores:
    """`good` sees the signal, `noise` does not; both have scored every patch of both parts."""
    base = make(patches=1600, cases=40, folds=2, views=("identity",))
    noise = base.scores.assign(member="noise/" + base.scores["member"].astype(str))
    noise["logit"] = np.random.default_rng(5).normal(0, 1, len(noise))
    good = base.scores.assign(member="good/" + base.scores["member"].astype(str))
    return Scores(base.patches, pd.concat([good, noise], ignore_index=True))


def test_weights(make_scores: Callable[..., Scores]) -> None:
    scores = two_sources(make_scores)
    rows = equal_weights({"good": 3, "noise": 1}).apply(scores)
    wide = scores.scores.assign(source=scores.scores["member"].str.split("/").str[0])
    by = wide.groupby(["patch_id", "part", "source"])["logit"].mean().unstack()
    expected = (0.75 * by["good"] + 0.25 * by["noise"]).to_numpy()
    got = rows.set_index(["patch_id", "part"])["logit"].reindex(by.index).to_numpy()
    assert np.allclose(got, expected)
    with pytest.raises(Mistake, match="No source of members is called 'godo'"):
        equal_weights(["godo"]).apply(scores)


def test_stack_finds_the_signal_and_is_honest(make_scores: Callable[..., Scores]) -> None:
    scores = two_sources(make_scores)
    combine, crossed = stack.fit(scores.take(part="out-of-fold"))
    weights = dict(combine.weights)
    assert weights["good"] > 0.7 and abs(weights["noise"]) < 0.35
    assert len(crossed) == 800 and np.isfinite(crossed["logit"]).all()
    assert Combine.from_dict(combine.to_dict()) == combine
    test = combine.apply(scores.take(part="test"))
    assert set(test["members"]) == {4}


def test_stack_under_a_strong_pull_is_platt_on_the_mean() -> None:
    from mitotype.scores import calibrate

    rng = np.random.default_rng(1)
    y = (rng.random(500) < 0.4).astype(float)
    z = y[:, None] * 1.5 + rng.normal(0, 1, (500, 3))
    weights, intercept = stack._stacked(z, y, 1e6)
    platt = calibrate.fit(z.mean(1), y, "platt")
    assert np.ptp(weights) < 1e-4
    assert weights.sum() == pytest.approx(platt.slope, rel=1e-3) and intercept == pytest.approx(
        platt.intercept, abs=1e-3
    )


def test_stack_refuses_test_rows(make_scores: Callable[..., Scores]) -> None:
    with pytest.raises(Mistake, match="M002"):
        stack.fit(two_sources(make_scores))
    with pytest.raises(Mistake, match="two sources or more"):
        stack.fit(make_scores().take(part="out-of-fold"))


def test_broken_records_are_refused() -> None:
    for told in ({}, {"kind": "mean"}, {"kind": "weighted"}, {"kind": "weighted", "weights": {"a": "x"}}):
        with pytest.raises(Mistake):
            Combine.from_dict(told)
    with pytest.raises(Mistake, match="finite"):
        Combine("weighted", weights=(("a", float("nan")),))
