"""Probabilities and logits are recognised by all values; a single one never changes the meaning of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from mitotype.core.errors import UserError
from mitotype.scores.scale import to_logit

SHARES = np.linspace(0, 1, 40)


def test_probabilities_with_a_rounding_error_are_probabilities() -> None:
    value = SHARES.copy()
    value[[0, -1]] = -1e-7, 1.0000001
    logit, note = to_logit(value, "score", "theirs")
    assert "read as probabilities" in note
    assert logit[1] == pytest.approx(np.log(value[1] / (1 - value[1])))
    assert np.all(np.diff(logit) >= 0)


def test_logits_are_logits() -> None:
    value = np.linspace(-3, 3, 40)
    for scale in ("score", "logit"):
        logit, note = to_logit(value, scale, "theirs")
        assert "read as logits" in note
        np.testing.assert_array_equal(logit, value)


@pytest.mark.parametrize("scale", ["score", "probability"])
@pytest.mark.parametrize("value", [1.001, 1.5, 37.0])
def test_one_value_outside_is_an_error(scale: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"1 of 40 .* are outside 0\.\.1; the first: {value:g}"):
        to_logit(np.append(SHARES[1:], value), scale, "theirs")


@pytest.mark.parametrize("scale", ["score", "probability"])
def test_percentages_are_an_error(scale: str) -> None:
    for value in (SHARES * 100, np.array([50.7, 85.5]), np.array([3.0, 0.0, 7.0])):
        with pytest.raises(UserError, match="like percentages") as error:
            to_logit(value, scale, "theirs")
        assert error.value.fix and "divide them by 100" in error.value.fix


def test_one_negative_value_does_not_make_logits() -> None:
    with pytest.raises(UserError, match="1 of 100 scores"):
        to_logit(np.append(np.linspace(0, 1, 99), -0.2), "score", "theirs")


def test_an_unknown_scale_is_an_error() -> None:
    with pytest.raises(UserError, match="No scale is called 'odds'"):
        to_logit(SHARES, "odds", "theirs")
