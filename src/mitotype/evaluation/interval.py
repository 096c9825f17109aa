"""Interval: a number with its bounds from resampled cases, saying of how many cases and draws it was made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mitotype.evaluation.metrics import Number, compute
from mitotype.evaluation.resample import Draws, metric_draws

FEWEST = 100  # draws that must be defined before a bound is given
NEEDS_BOTH = "one class only"


@dataclass(frozen=True)
class Interval:
    """`value` with the percentile bootstrap's `low` and `high` at `level`, resampling `groups` cases (`by`).

    `draws` were defined; `left_out` more had one class only and are not counted, so that the bounds hold given both
    classes. nan bounds carry a `reason`, as does a nan value. `sd` is the spread between members where the value is a mean
    over members; nan otherwise.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    by: str = "case_id"
    groups: int = 0
    draws: int = 0
    left_out: int = 0
    level: float = 0.95
    reason: str = ""
    sd: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def bounded(
    number: Number, drawn_D: np.ndarray, draws: Draws, *, level: float = 0.95, centred: bool = False
) -> Interval:
    """`number` with bounds from its draws. `centred` moves the draws onto the value: see `intervals`."""
    good = drawn_D[np.isfinite(drawn_D)]
    groups, left_out = draws.groups, len(drawn_D) - len(good)
    bare = Interval(number.value, by=draws.by, groups=groups, draws=len(good), left_out=left_out, level=level)
    if math.isnan(number.value):
        return _because(bare, number.reason)
    if groups < 2:
        return _because(bare, f"{groups} case: chance between cases cannot be seen")
    if len(good) < FEWEST:
        return _because(bare, f"{len(good)} of {len(drawn_D)} draws had both classes")
    if good.min() == good.max():
        return _because(bare, "the same in every draw: resampling cannot bound it")
    low, high = np.quantile(good, [(1 - level) / 2, (1 + level) / 2])
    if centred:
        shift = number.value - good.mean()
        low, high = max(0.0, low + shift), high + shift
    return Interval(number.value, float(low), float(high), draws.by, groups, len(good), left_out, level)


def _because(bare: Interval, reason: str) -> Interval:
    return Interval(**{**asdict(bare), "reason": reason})


def intervals(
    names: Sequence[str],
    label: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    draws: Draws,
    *,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Every metric in `names` with its interval, all from the same draws.

    Resampling adds an error of its own to the ECE (an absolute value grows with noise), so its draws are moved onto the
    value before the bounds are read.
    """
    drawn = metric_draws(names, label, predicted, probability, draws)
    return {
        name: bounded(
            compute(name, label, predicted, probability), drawn[name], draws, level=level, centred=name == "ece"
        )
        for name in names
    }


def mean_over_members(
    names: Sequence[str],
    label: np.ndarray,
    predicted_NM: np.ndarray,
    probability_NM: np.ndarray,
    draws: Draws,
    *,
    level: float = 0.95,
) -> dict[str, Interval]:
    """The mean over single members of each metric; `sd` is the population SD between members (as the literature prints it).

    The bounds are those of the mean: in each draw every member is judged on the same cases.
    """
    members = probability_NM.shape[1]
    each = [metric_draws(names, label, predicted_NM[:, m], probability_NM[:, m], draws) for m in range(members)]
    found = {}
    for name in names:
        numbers = [compute(name, label, predicted_NM[:, m], probability_NM[:, m]) for m in range(members)]
        values = np.array([float(n) for n in numbers])
        reason = next((n.reason for n in numbers if n.reason), "")
        mean = Number(float(values.mean()), reason)
        drawn = np.mean([draw[name] for draw in each], axis=0)
        whole = bounded(mean, drawn, draws, level=level, centred=name == "ece")
        found[name] = Interval(**{**asdict(whole), "sd": float(values.std()) if members > 1 else math.nan})
    return found
