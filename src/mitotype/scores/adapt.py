"""Adapt a decision to the labels of one laboratory: calibration and threshold, both shrunk towards those of the decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from msgspec.structs import replace
from scipy.optimize import minimize

from mitotype.core.case_folds import case_folds
from mitotype.core.errors import UserError
from mitotype.core.run_layout import FittedOn, Threshold
from mitotype.core.run_layout.decision import SLOPE_RANGE
from mitotype.core.seeds import numpy_generator
from mitotype.scores import abstain
from mitotype.scores.calibrate import Calibration, log_loss, logit_of, sigmoid
from mitotype.scores.decision import Decision, case_keys, with_seen_digests
from mitotype.scores.thresholds import thresholds

MIN_FIGURES, MIN_OF_CLASS, MIN_CASES, MIN_CASES_OF_CLASS = 50, 10, 5, 3
SLOPE_SD, INTERCEPT_SD = 0.5, 1.0  # of ln slope and of the intercept, between laboratories
THRESHOLD_SD = 0.3  # of the best threshold on the calibrated logit, between laboratories: that of the domains of AMi-Br
N_BOOT = 50  # resamples of the cases for the uncertainty of the threshold


@dataclass(frozen=True)
class Adapted:
    """An adapted decision. `weight` is that of the laboratory's own threshold, `slope` and `intercept` change the calibrated logit."""

    decision: Decision
    slope: float
    intercept: float
    weight: float


def check_enough(rows: pd.DataFrame) -> None:
    """Raise a UserError for labels that are too few: 50 figures, 10 of each class, 5 cases, 3 with figures of each class."""
    label, case = rows["label"].to_numpy(float), case_keys(rows)
    counts = [
        (len(rows), MIN_FIGURES, "labelled figures"),
        (int((label == 1).sum()), MIN_OF_CLASS, "atypical figures"),
        (int((label == 0).sum()), MIN_OF_CLASS, "normal figures"),
        (len(np.unique(case)), MIN_CASES, "cases"),
        (len(np.unique(case[label == 1])), MIN_CASES_OF_CLASS, "cases with atypical figures"),
        (len(np.unique(case[label == 0])), MIN_CASES_OF_CLASS, "cases with normal figures"),
    ]
    short = [f"{count} {what} ({least} are needed)" for count, least, what in counts if count < least]
    if short:
        raise UserError(f"The labels are too few to adapt to: {', '.join(short)}.", fix="label more figures")


def fit(rows: pd.DataFrame, decision: Decision, *, seed: int = 0) -> Adapted:
    """Return `decision` adapted to labelled rows: logit, label, case_id, dataset, patch_id, and digest if there is one.

    With q the calibrated logit of the decision and t its threshold there:

        q' = a q + b,   a and b by maximum likelihood with normal priors on ln a (SD 0.5) and on b (SD 1)
        t' = t + w (t₁ - t),   t₁ the threshold by the decision's rule on these rows,   w = 0.3² / (0.3² + var t₁)

    var t₁ is from resampled cases. A rule that is not fitted keeps its probability. The band of abstention is fitted by its rule.
    """
    label, case = rows["label"].to_numpy(float), case_keys(rows)
    before = decision.calibration.calibrated(rows["logit"].to_numpy(float))
    a, b = _recalibrate(before, label)
    rule, fitter = decision.threshold.rule, thresholds.build(decision.threshold.rule)
    old, weight = float(logit_of(decision.threshold.value)), 0.0
    value = decision.threshold.value
    if fitter.is_fitted:
        new = float(logit_of(fitter.threshold(sigmoid(before), label)))
        replicates = [_resampled(before, label, case, fitter.threshold, seed, index) for index in range(N_BOOT)]
        known = [replicate for replicate in replicates if np.isfinite(replicate)]
        variance = float(np.var(known, ddof=1)) if len(known) > 1 else np.inf
        weight = THRESHOLD_SD**2 / (THRESHOLD_SD**2 + variance)
        value = float(sigmoid(a * (old + weight * (new - old)) + b))
    slope = float(np.clip(a * decision.calibration.slope, *SLOPE_RANGE))
    calibration = Calibration("platt", slope, a * decision.calibration.intercept + b)
    probability = calibration.probability(rows["logit"].to_numpy(float))
    adapted = replace(
        decision,
        calibration=calibration,
        threshold=Threshold(value, rule),
        abstention=abstain.fit(probability, label, value, decision.rules[2]),
        fitted_on=FittedOn(len(rows), int(rows["members"].median()) if "members" in rows else 0, "label"),
        rules=("platt", *decision.rules[1:]),
    )
    return Adapted(with_seen_digests(adapted, rows.get("digest", ())), a, b, weight)


def cross_fitted(rows: pd.DataFrame, decision: Decision, *, folds: int = 5, seed: int = 0) -> pd.DataFrame:
    """Return the rows, each case decided by a decision adapted to the other cases: class, probability and decision."""
    fold = case_folds(case_keys(rows), rows["label"].to_numpy(float), folds=folds, seed=seed)
    parts = []
    for index in range(int(fold.max()) + 1):
        adapted = fit(rows[fold != index], decision, seed=seed).decision
        parts.append(adapted.apply(rows[fold == index], guard=False))
    return pd.concat(parts).sort_index()


def _recalibrate(before: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    def loss(x: np.ndarray) -> float:
        penalty = x[0] ** 2 / (2 * SLOPE_SD**2) + x[1] ** 2 / (2 * INTERCEPT_SD**2)
        return len(label) * log_loss(np.exp(x[0]) * before + x[1], label) + float(penalty)

    x = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-3, 3), (-20, 20)]).x
    return float(np.exp(x[0])), float(x[1])


def _resampled(
    before: np.ndarray,
    label: np.ndarray,
    case: np.ndarray,
    threshold: Callable[[np.ndarray, np.ndarray], float],
    seed: int,
    index: int,
) -> float:
    """Return the threshold of resampled cases on the calibrated logit; nan where they lack a class."""
    cases, code = np.unique(case, return_inverse=True)
    chosen = numpy_generator(seed, "adapt", index).integers(0, len(cases), len(cases))
    rows = np.concatenate([np.flatnonzero(code == one) for one in chosen])
    if min((label[rows] == 1).sum(), (label[rows] == 0).sum()) < 2:
        return float("nan")
    return float(logit_of(threshold(sigmoid(before[rows]), label[rows])))
