"""Fit the operating points of a bundle on its out-of-fold rows: a threshold for every sensitivity and specificity of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from mitotype.core.errors import UserError
from mitotype.core.run_layout import OperatingCurve, OperatingPoint, names, read_ensemble, read_run
from mitotype.core.run_layout.operating import Bounds
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores import abstain, ensemble, run_ensemble, table
from mitotype.scores.calibrate import logit_of, sigmoid
from mitotype.scores.decision import Decision, case_keys, cross_fit_folds
from mitotype.scores.threshold import cross_fitted
from mitotype.scores.thresholds import ThresholdRule
from mitotype.scores.thresholds.sensitivity import Sensitivity
from mitotype.scores.thresholds.specificity import Specificity

GRID = tuple(step / 200 for step in range(100, 200))  # .500, .505 … .995
MIN_CASES = 5  # fewer have no interval


def fit_curve(rows: pd.DataFrame, decision: Decision, *, seed: int = 0, level: float = 0.95) -> OperatingCurve | None:
    """Return the operating points of the labelled out-of-fold rows, None where a few cases hold a class.

    `rows` are those that `decision` was fitted on, see `decision.fit`. The threshold of a point and its band of uncertainty
    are what `threshold="sensitivity(x)"` or `"specificity(x)"` in a recipe would give; its rates are cross-fitted by case.
    """
    rows = rows[(rows["part"] == OUT_OF_FOLD) & rows["label"].notna()]
    if rows["label"].nunique() < 2:
        return None
    p = decision.calibration.probability(rows["logit"].to_numpy(float))
    y, case = rows["label"].to_numpy(float), case_keys(rows)
    fold = cross_fit_folds(rows, decision.fitted_on.unit, seed=seed)

    def points(rule: type[Sensitivity] | type[Specificity]) -> Iterator[OperatingPoint]:
        for value in GRID:
            fitter: ThresholdRule = rule(value)
            threshold = fitter.threshold(p, y)
            predicted = cross_fitted(p, y, fold, fitter)
            if predicted is None:
                return
            is_right = predicted == (y == 1)
            sensitivity, sensitivity_bounds = _rate(is_right[y == 1], case[y == 1], level)
            specificity, specificity_bounds = _rate(is_right[y == 0], case[y == 0], level)
            yield OperatingPoint(
                threshold=threshold, band=_band(p, y, threshold, decision.rules[2]), requested=value,
                sensitivity=sensitivity, sensitivity_bounds=sensitivity_bounds,
                specificity=specificity, specificity_bounds=specificity_bounds,
            )  # fmt: skip

    by_sensitivity, by_specificity = tuple(points(Sensitivity)), tuple(points(Specificity))
    if not by_sensitivity or not by_specificity:
        return None
    return OperatingCurve(
        patches=len(rows), atypical=int(y.sum()), cases=len(set(case)),
        sensitivity=by_sensitivity, specificity=by_specificity,
    )  # fmt: skip


def curve_of_run(run_dir: Path, decision: Decision) -> OperatingCurve | None:
    """Return the operating points of a finished run or ensemble, from the rows that its decision was fitted on; see `fit_curve`."""
    scores = table.read(run_dir)
    if names.is_ensemble(run_dir):
        rows, seed = run_ensemble.read_combiner(run_dir).apply(scores), read_ensemble(run_dir).seed
    else:
        rows, seed = ensemble.mean_logit(scores), int(str(read_run(run_dir).recipe.get("seed", 0)))
    return fit_curve(scores.joined(rows), decision, seed=seed)


def _band(p: np.ndarray, y: np.ndarray, threshold: float, rule: str) -> Bounds:
    try:
        band = abstain.fit(p, y, threshold, rule)
    except UserError:  # a balanced accuracy that is out of reach at this threshold
        return threshold, threshold
    return band.low, band.high


def _rate(hit_N: np.ndarray, case_N: np.ndarray, level: float) -> tuple[float, Bounds | None]:
    """Return the share of hits and its interval over cases, rounded to four digits.

    The share is a ratio of sums over cases, Σ hits / Σ rows, whose variance is linearised (Cochran 1977, section 6.3); the
    interval is of the t distribution on the logit scale.
    """
    _, code_N = np.unique(case_N, return_inverse=True)
    rows_C = np.bincount(code_N)
    hits_C = np.bincount(code_N, weights=hit_N)
    n, share = len(rows_C), float(hits_C.sum() / rows_C.sum())
    if n < MIN_CASES or not 0 < share < 1:
        return round(share, 4), None
    residual_C = hits_C - share * rows_C
    sd = float(np.sqrt(n / (n - 1) * (residual_C**2).sum()) / rows_C.sum()) / (share * (1 - share))
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * sd
    low, high = (float(sigmoid(logit_of(share) + end)) for end in (-reach, reach))
    return round(share, 4), (round(low, 4), round(high, 4))
