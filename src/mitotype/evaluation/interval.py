"""Intervals: numbers with their bootstrap bounds over cases."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from mitotype.core.rates import or_none
from mitotype.core.run_layout.evaluation import Interval
from mitotype.evaluation.metrics import Number, compute
from mitotype.evaluation.resample import Bootstrap, bootstrap_metrics

MIN_REPLICATES = 100  # that must be defined for bounds


def percentile_interval(
    number: Number, replicate_D: np.ndarray, bootstrap: Bootstrap, *, level: float = 0.95, centered: bool = False
) -> Interval:
    """Return `number` with bounds from its replicates. `centered` shifts their mean to the value: see `intervals`."""
    defined = replicate_D[np.isfinite(replicate_D)]
    n_undefined = len(replicate_D) - len(defined)
    interval = Interval(
        or_none(number.value),
        by=bootstrap.by,
        groups=bootstrap.groups,
        n_boot=len(defined),
        n_undefined=n_undefined,
        level=level,
    )
    if math.isnan(number.value):
        return replace(interval, reason=number.reason)
    if interval.groups < 2:
        return replace(interval, reason=f"{interval.groups} case: no variation between cases")
    if len(defined) < MIN_REPLICATES:
        return replace(interval, reason=f"{len(defined)} of {len(replicate_D)} replicates had both classes")
    if defined.min() == defined.max():
        return replace(interval, reason="the same in every replicate: resampling cannot bound it")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    if centered:
        shift = number.value - defined.mean()
        low, high = max(0.0, low + shift), high + shift
    return replace(interval, low=float(low), high=float(high))


def intervals(
    names: Sequence[str],
    label: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    bootstrap: Bootstrap,
    *,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return every metric in `names` with its interval, all from the same replicates.

    Resampling adds a bias to the ECE (an absolute value grows with noise), so its replicates are centered on the value.
    """
    replicates = bootstrap_metrics(names, label, predicted, probability, bootstrap)
    return {
        name: percentile_interval(
            compute(name, label, predicted, probability),
            replicates[name],
            bootstrap,
            level=level,
            centered=name == "ece",
        )
        for name in names
    }


def mean_over_members(
    names: Sequence[str],
    label: np.ndarray,
    predicted_NM: np.ndarray,
    probability_NM: np.ndarray,
    bootstrap: Bootstrap,
    *,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return the mean over members of each metric; `member_sd` is the population SD, as in the literature.

    The bounds are those of the mean: in each replicate every member is evaluated on the same cases.
    """
    members = [(predicted_NM[:, m], probability_NM[:, m]) for m in range(probability_NM.shape[1])]
    replicates = [bootstrap_metrics(names, label, *member, bootstrap) for member in members]
    result = {}
    for name in names:
        numbers = [compute(name, label, *member) for member in members]
        values = np.array([float(n) for n in numbers])
        mean = Number(float(values.mean()), next((n.reason for n in numbers if n.reason), ""))
        replicate_D = np.mean([replicate[name] for replicate in replicates], axis=0)
        interval = percentile_interval(mean, replicate_D, bootstrap, level=level, centered=name == "ece")
        result[name] = replace(interval, member_sd=or_none(float(values.std())) if len(members) > 1 else None)
    return result
