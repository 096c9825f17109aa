"""Intervals: numbers with their bounds over cases, by the t distribution, with standard errors from resampled cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs
from scipy.special import expit, logit
from scipy.stats import t

from mitotype.core.rates import or_none
from mitotype.core.run_layout.evaluation import Interval
from mitotype.evaluation.metrics import Number, bootstrap_metrics, compute, metrics
from mitotype.evaluation.metrics.metric import Scale
from mitotype.evaluation.resample import Bootstrap

MIN_REPLICATES = 100  # that must be defined for bounds
MIN_CASES = 5
MIN_DF = 5


@dataclass(frozen=True)
class Spread:
    """Standard error and degrees of freedom of a number over cases; nan with a `reason` if resampling cannot give them."""

    error: float = math.nan
    df: float = math.nan
    n_boot: int = 0
    n_undefined: int = 0
    reason: str = ""


def note_without_case(patches: int) -> str:
    return f"{patches} patches have no case and are cases of their own: intervals may be too narrow"


def spread(replicate_D: np.ndarray, bootstrap: Bootstrap, *, paired: bool = False) -> Spread:
    """Return the standard error of a number over cases from its replicates, and the degrees of freedom of its t distribution.

    With K cases in H strata, sd is the standard deviation of the bootstrap replicates × √(K / (K - H)), with K - H degrees of
    freedom. That is all for the difference of two models (`paired`), in which most of what is large in a case cancels. Neither
    is known where the number is undefined without one of the cases.

    Else, with θ₍c₎ the number without case c and I = θ₍c₎ - mean: the error is at least the jackknife's √((K - 1) / K · Σ I²);
    the degrees of freedom are at most n = (Σ I²)² / Σ I⁴, the number of cases of equal influence, but not below 5.
    """
    groups, strata = bootstrap.groups, bootstrap.strata
    sampled, left_out = replicate_D[: bootstrap.n_boot], replicate_D[bootstrap.n_boot :]
    defined = sampled[np.isfinite(sampled)]
    known = Spread(n_boot=len(defined), n_undefined=len(sampled) - len(defined))
    if groups < MIN_CASES:
        return replace(known, reason=f"{groups} {'case' if groups == 1 else 'cases'}: at least {MIN_CASES} are needed")
    if len(defined) < MIN_REPLICATES:
        return replace(known, reason=f"{len(defined)} of {len(sampled)} replicates had both classes")
    df = float(max(groups - strata, 1))
    error = float(defined.std(ddof=1)) * math.sqrt(groups / df)
    value_C = left_out[np.unique(bootstrap.code_N)] if len(left_out) else left_out
    if not np.isfinite(value_C).all():
        return replace(known, reason="one case holds every patch of a class")
    if len(value_C) and not paired:
        square_C = (value_C - value_C.mean()) ** 2
        error = max(error, math.sqrt((groups - 1) / groups * square_C.sum()))
        effective = float(square_C.sum() ** 2 / (square_C**2).sum()) if square_C.any() else 1.0
        df = min(df, max(effective, MIN_DF))
    if error < 1e-12:
        return replace(known, reason="the same in every replicate: resampling cannot bound it")
    return replace(known, error=error, df=df)


def t_interval(
    number: Number,
    replicate_D: np.ndarray,
    bootstrap: Bootstrap,
    *,
    level: float = 0.95,
    scale: Scale = "unit",
    paired: bool = False,
) -> Interval:
    """Return `number` with the bounds of a t interval over cases: see `spread`.

    `scale` is that of the number, see `Metric`.
    """
    known = spread(replicate_D, bootstrap, paired=paired)
    interval = Interval(
        or_none(number.value),
        by=bootstrap.by,
        groups=bootstrap.groups,
        n_boot=known.n_boot,
        n_undefined=known.n_undefined,
        level=level,
        reason=number.reason or known.reason,
    )
    if interval.reason:
        return interval
    low, high = _bounds(number.value, float(t.ppf((1 + level) / 2, known.df)) * known.error, scale)
    return structs.replace(interval, low=low, high=high)


def p_value(number: Number, known: Spread) -> float:
    """Return the two-sided p of `number` = 0 by its t distribution over cases; nan without a standard error."""
    return float(2 * t.sf(abs(number.value) / known.error, known.df))


def _bounds(value: float, step: float, scale: Scale) -> tuple[float, float]:
    """Return the value -+ `step`, taken on the transformed scale by the delta method, on the scale of the value."""
    if scale == "real":
        return value - step, value + step
    if scale == "positive":
        width = min(step / max(value, 1e-9), 100.0)
        return value * math.exp(-width), value * math.exp(width)
    inside = min(max(value, 1e-9), 1 - 1e-9)
    center, width = float(logit(inside)), step / (inside * (1 - inside))
    return float(expit(center - width)), float(expit(center + width))


def intervals(
    names: Sequence[str],
    label: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    bootstrap: Bootstrap,
    *,
    score: np.ndarray | None = None,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return every metric in `names` with its interval, all from the same replicates. `score` ranks: see `compute`."""
    replicates = bootstrap_metrics(names, label, predicted, probability, bootstrap, score)
    return {
        name: t_interval(
            compute(name, label, predicted, probability, score),
            replicates[name],
            bootstrap,
            level=level,
            scale=metrics.get(name).scale,
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
    score_NM: np.ndarray | None = None,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return the mean over members of each metric; `member_sd` is the population SD, as in the literature.

    The bounds are those of the mean: in each replicate every member is evaluated on the same cases.
    """
    score_NM = probability_NM if score_NM is None else score_NM
    members = [(predicted_NM[:, m], probability_NM[:, m], score_NM[:, m]) for m in range(probability_NM.shape[1])]
    replicates = [bootstrap_metrics(names, label, p, q, bootstrap, score) for p, q, score in members]
    result = {}
    for name in names:
        numbers = [compute(name, label, *member) for member in members]
        values = np.array([float(n) for n in numbers])
        mean = Number(float(values.mean()), next((n.reason for n in numbers if n.reason), ""))
        replicate_D = np.mean([replicate[name] for replicate in replicates], axis=0)
        interval = t_interval(mean, replicate_D, bootstrap, level=level, scale=metrics.get(name).scale)
        member_sd = float(values.std()) if len(members) > 1 else None
        result[name] = structs.replace(interval, member_sd=member_sd)
    return result
