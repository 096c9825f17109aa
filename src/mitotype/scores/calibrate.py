"""Calibration: raw logits into probabilities, by temperature or Platt scaling fitted by maximum likelihood."""

from __future__ import annotations

from typing import cast, get_args

import numpy as np

from mitotype.core import run_layout
from mitotype.core.errors import UserError
from mitotype.core.run_layout.decision import SLOPE_RANGE, CalibrationKind

KINDS = get_args(CalibrationKind)
MAX_INTERCEPT = 50.0


class Calibration(run_layout.Calibration, frozen=True):
    """P(atypical) = σ(slope · logit + intercept). The identity is slope 1, intercept 0; `note` gives the reason for it."""

    def probability(self, logit: np.ndarray) -> np.ndarray:
        """Return calibrated P(atypical), same shape, float64."""
        return sigmoid(self.calibrated(logit))

    def calibrated(self, logit: np.ndarray) -> np.ndarray:
        """Return the logit of calibrated P(atypical)."""
        return self.slope * np.asarray(logit, float) + self.intercept


def _kind(name: str) -> CalibrationKind:
    if name not in KINDS:
        raise UserError(f"No calibration is called '{name}'.", allowed=", ".join(KINDS))
    return cast(CalibrationKind, name)


def sigmoid(logit: np.ndarray | float) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp(-x) is infinite below -709: σ is 0
        return 1 / (1 + np.exp(-np.asarray(logit, float)))


def logit_of(probability: np.ndarray | float) -> np.ndarray:
    """Return the logit of probabilities, which are clipped to 1e-12 … 1 - 1e-12."""
    clipped = np.clip(np.asarray(probability, float), 1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)


def log_loss(logit: np.ndarray, target: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of σ(logit) against targets in 0..1."""
    return float(np.mean(log_loss_of_rows(logit, target)))


def log_loss_of_rows(logit: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of every row, computed from logits so that it cannot overflow."""
    logit = np.asarray(logit, float)
    return np.logaddexp(0.0, logit) - np.asarray(target, float) * logit


def fit(logit: np.ndarray, target: np.ndarray, kind: str = "temperature") -> Calibration:
    """Fit by maximum likelihood on labels or soft targets in 0..1 (Guo et al. 2017; Platt 1999).

        temperature   P = σ(z / T), slope = 1 / T             platt   P = σ(a z + b), a > 0

    The slope is positive, so that the order of the patches does not change. If labels are separable, the likelihood has no
    maximum; the labels are then softened to (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), as in Platt. If the likelihood does not
    improve, or improves only by flattening scores that rank the wrong way round, the identity is returned with a note.

    Raises a UserError for an unknown kind, for a target outside 0..1 and for rows of one class.
    """
    from scipy.optimize import minimize  # not at the top: classify imports this file and fits nothing

    _kind(kind)
    if kind == "identity":
        return Calibration()
    z, y = np.asarray(logit, float), np.asarray(target, float)
    if not np.all((y >= 0) & (y <= 1)) or not np.all(np.isfinite(z)):
        raise UserError("A calibration needs finite logits and targets in 0..1.", fix="leave unlabelled rows out")
    if len(y) < 2 or y.min() == y.max():
        raise UserError(
            f"A calibration cannot be fitted on {len(y)} rows with one target.", fix="fit it on both classes"
        )
    note = ""
    if _is_separable(z, y, kind):
        y = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))
        note = "the classes are separable: fitted on labels softened as in Platt"

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        slope, intercept = np.exp(x[0]), x[1] if kind == "platt" else 0.0
        q = slope * z + intercept
        residual = (sigmoid(q) - y) / len(y)
        gradient = [slope * float(residual @ z)] + ([float(residual.sum())] if kind == "platt" else [])
        return log_loss(q, y), np.array(gradient)

    x0 = np.zeros(2 if kind == "platt" else 1)
    bounds = [tuple(np.log(SLOPE_RANGE)), (-MAX_INTERCEPT, MAX_INTERCEPT)][: len(x0)]
    x = minimize(loss, x0, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}).x
    slope, intercept = float(np.exp(x[0])), float(x[1]) if kind == "platt" else 0.0
    slope = float(np.clip(slope, *SLOPE_RANGE))
    if slope <= SLOPE_RANGE[0] * 1.001:
        return Calibration(note=f"{kind}: the logits do not rise with the targets; not calibrated")
    if log_loss(slope * z + intercept, y) >= log_loss(z, y) - 1e-12:
        return Calibration(note=f"{kind}: the likelihood did not improve; not calibrated")
    return Calibration(_kind(kind), slope, intercept, note)


def _is_separable(z: np.ndarray, y: np.ndarray, kind: str) -> bool:
    """Whether a steeper slope always fits better: hard labels, every atypical logit above every normal one (and above 0)."""
    if not np.all((y == 0) | (y == 1)):
        return False
    lowest, highest = z[y == 1].min(), z[y == 0].max()
    return bool(highest < lowest if kind == "platt" else highest <= 0 <= lowest and highest < lowest)
