"""Ensembles: means against plain loops, SD over members, names, completeness, and the stack against its limits."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.scores import calibrate, stack
from mitotype.scores.ensemble import Combiner, mean_logit
from mitotype.scores.table import Scores


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


def test_means_equal_those_of_a_plain_loop(some: Scores) -> None:
    logits, probabilities = mean_logit(some), Combiner("mean_probability").apply(some)
    for _, row in logits.sample(15, random_state=0).iterrows():
        scores = some.scores[(some.scores["patch_id"] == row["patch_id"]) & (some.scores["part"] == row["part"])]
        members = [float(g["logit"].mean()) for _, g in scores.groupby("member")]
        assert row["logit"] == pytest.approx(np.mean(members))
        assert row["members"] == len(members) and row["views"] == 2
        assert (
            np.isnan(row["member_sd"])
            if len(members) == 1
            else row["member_sd"] == pytest.approx(np.std(members, ddof=1))
        )
        of_p = [float(np.mean([sigmoid(z) for z in g["logit"]])) for _, g in scores.groupby("member")]
        other = probabilities[
            (probabilities["patch_id"] == row["patch_id"]) & (probabilities["part"] == row["part"])
        ].iloc[0]
        assert sigmoid(other["logit"]) == pytest.approx(np.mean(of_p))
        if len(members) > 1:
            assert other["member_sd"] == pytest.approx(np.std(of_p, ddof=1))


def test_rows_are_in_the_order_of_the_patches(some: Scores) -> None:
    assert list(mean_logit(some)["patch_id"]) == list(some.patches["patch_id"])


def test_views_and_members_by_name(some: Scores) -> None:
    rows = Combiner(views=("identity",), members=("fold2",)).apply(some)
    assert set(rows["members"]) == {1} and set(rows["views"]) == {1}
    with pytest.raises(UserError, match=r"No view is called 'identiy'\. Nearest: identity"):
        Combiner(views=("identiy",)).apply(some)
    with pytest.raises(UserError, match=r"No member is called 'fold9'"):
        Combiner(members=("fold9",)).apply(some)


def test_missing_view_or_member_raises(some: Scores) -> None:
    last = some.scores.index[-1]
    with pytest.raises(UserError, match=r"patch 'a/119' has 1 of 2 views of member 'fold3'"):
        mean_logit(Scores(some.patches, some.scores.drop(last)))
    incomplete = some.scores[~((some.scores["patch_id"] == "a/119") & (some.scores["member"] == "fold3"))]
    with pytest.raises(UserError, match=r"has 0 of 2 views"):
        mean_logit(Scores(some.patches, incomplete))


def test_matrix_and_table_agree(some: Scores) -> None:
    """A bundle combines a matrix, a run a table: the same numbers."""
    rows = mean_logit(some.take(part="test"))
    test = some.scores[some.scores["part"] == "test"]
    wide = test.groupby(["patch_id", "member"])["logit"].mean().unstack().loc[rows["patch_id"]]
    logit, member_sd = Combiner().combine(wide.to_numpy(), list(wide.columns))
    assert np.allclose(logit, rows["logit"], rtol=0, atol=1e-12) and np.allclose(member_sd, rows["member_sd"])


def two_sources(make: Callable[..., Scores]) -> Scores:
    """Return scores of `good`, with a signal, and of `noise`; both have scored every patch of both parts."""
    base = make(patches=1600, cases=40, folds=2, views=("identity",))
    noise = base.scores.assign(member="noise/" + base.scores["member"].astype(str))
    noise["logit"] = np.random.default_rng(5).normal(0, 1, len(noise))
    good = base.scores.assign(member="good/" + base.scores["member"].astype(str))
    return Scores(base.patches, pd.concat([good, noise], ignore_index=True))


def test_weights(make_scores: Callable[..., Scores]) -> None:
    scores = two_sources(make_scores)
    rows = Combiner("weighted", weights={"good": 0.75, "noise": 0.25}).apply(scores)
    wide = scores.scores.assign(source=scores.scores["member"].str.split("/").str[0])
    by = wide.groupby(["patch_id", "part", "source"])["logit"].mean().unstack()
    expected = (0.75 * by["good"] + 0.25 * by["noise"]).to_numpy()
    got = rows.set_index(["patch_id", "part"])["logit"].reindex(by.index).to_numpy()
    assert np.allclose(got, expected)
    with pytest.raises(UserError, match="No source of members is called 'godo'"):
        Combiner("weighted", weights={"godo": 1.0}).apply(scores)


def test_stack_prefers_the_source_with_a_signal(make_scores: Callable[..., Scores]) -> None:
    scores = two_sources(make_scores)
    combiner, cross_fitted = stack.fit(scores.take(part="out-of-fold"))
    weights = dict(combiner.weights)
    assert weights["good"] > 0.7 and abs(weights["noise"]) < 0.35
    assert len(cross_fitted) == 800 and np.isfinite(cross_fitted["logit"]).all()
    assert records.decode(records.encode(combiner), Combiner, "a combiner") == combiner
    test = combiner.apply(scores.take(part="test"))
    assert set(test["members"]) == {4}


def test_stack_with_a_strong_penalty_is_platt_on_the_mean() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(500) < 0.4).astype(float)
    z = y[:, None] * 1.5 + rng.normal(0, 1, (500, 3))
    weights, intercept = stack.fit_weights(z, y, 1e6)
    platt = calibrate.fit(z.mean(1), y, "platt")
    assert np.ptp(weights) < 1e-4
    assert weights.sum() == pytest.approx(platt.slope, rel=1e-3) and intercept == pytest.approx(
        platt.intercept, abs=1e-3
    )


def test_stack_raises_for_test_rows(make_scores: Callable[..., Scores]) -> None:
    with pytest.raises(UserError, match="M002"):
        stack.fit(two_sources(make_scores))
    with pytest.raises(UserError, match="two or more sources"):
        stack.fit(make_scores().take(part="out-of-fold"))


def test_invalid_records_raise() -> None:
    for record in ({"kind": "mean"}, {"kind": "weighted"}, {"kind": "weighted", "weights": {"a": "x"}}):
        with pytest.raises(UserError, match="is not valid"):
            records.decode(json.dumps(record).encode(), Combiner, "a combiner")
    with pytest.raises(ValueError, match="finite"):
        Combiner("weighted", weights={"a": float("nan")})
