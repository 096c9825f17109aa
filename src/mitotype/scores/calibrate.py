"""Calibration: raw logits into probabilities, by temperature or Platt scaling fitted by maximum likelihood."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mitotype.core.mistakes import Mistake

KINDS = ("temperature", "platt")
SLOPE_RANGE = (0.01, 100.0)


@dataclass(frozen=True)
class Calibration:
    """P(atypical) = σ(slope · logit + intercept). The identity is slope 1, intercept 0. `note` says why, where it is."""

    kind: str = "identity"
    slope: float = 1.0
    intercept: float = 0.0
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("identity", *KINDS):
            raise Mistake(f"No calibration is called '{self.kind}'.", allowed=", ".join(("identity", *KINDS)))
        if not (SLOPE_RANGE[0] <= self.slope <= SLOPE_RANGE[1] and np.isfinite(self.intercept)):
            raise Mistake(
                f"A calibration with slope {self.slope:g} and intercept {self.intercept:g} is not taken.",
                allowed=f"a slope of {SLOPE_RANGE[0]:g} to {SLOPE_RANGE[1]:g}: probabilities rise with the logit",
            )

    def probability(self, logit: np.ndarray) -> np.ndarray:
        """Calibrated P(atypical), same shape, float64."""
        return sigmoid(self.slope * np.asarray(logit, float) + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Calibration:
        try:
            return cls(str(told["kind"]), float(told["slope"]), float(told["intercept"]), str(told.get("note", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise Mistake(f"The calibration {str(told)[:80]} cannot be read: {error!r}.") from error


def sigmoid(logit: np.ndarray | float) -> np.ndarray:
    from scipy.special import expit

    return expit(np.asarray(logit, float))


def logit_of(probability: np.ndarray | float) -> np.ndarray:
    """The logit of probabilities, held 1e-12 away from 0 and 1."""
    inside = np.clip(np.asarray(probability, float), 1e-12, 1 - 1e-12)
    return np.log(inside) - np.log1p(-inside)


def log_loss(logit: np.ndarray, target: np.ndarray) -> float:
    """Mean cross-entropy in nats of σ(logit) against targets in 0..1."""
    return float(np.mean(log_loss_of_rows(logit, target)))


def log_loss_of_rows(logit: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Cross-entropy of every row, computed from logits so that it cannot overflow."""
    logit = np.asarray(logit, float)
    return np.logaddexp(0.0, logit) - np.asarray(target, float) * logit


def fit(logit: np.ndarray, target: np.ndarray, kind: str = "temperature") -> Calibration:
    """Fit by maximum likelihood on labels or soft targets in 0..1 (Guo et al. 2017; Platt 1999).

        temperature   P = σ(z / T), slope = 1 / T             platt   P = σ(a z + b), a > 0

    The slope stays positive, so that the order of the patches never changes. Where labels are separable the likelihood has
    no maximum: the labels are then softened as Platt did, to (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2). Where the likelihood
    does not improve, or only by flattening scores that rank the wrong way round, the identity is returned with a note.

    Raises a Mistake for an unknown kind, for a target outside 0..1 and for rows of one class.
    """
    from scipy.optimize import minimize

    if kind == "identity":
        return Calibration()
    if kind not in KINDS:
        raise Mistake(f"No calibration is called '{kind}'.", allowed=", ".join(("identity", *KINDS)))
    z, y = np.asarray(logit, float), np.asarray(target, float)
    if not np.all((y >= 0) & (y <= 1)) or not np.all(np.isfinite(z)):
        raise Mistake("A calibration needs finite logits and targets in 0..1.", fix="leave unlabelled rows out")
    if len(y) < 2 or y.min() == y.max():
        raise Mistake(f"A calibration cannot be fitted on {len(y)} rows with one target.", fix="fit it on both classes")
    note = ""
    if _separable(z, y, kind):
        y = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))
        note = "the classes are separable: fitted on labels softened after Platt"

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        slope, intercept = np.exp(x[0]), x[1] if kind == "platt" else 0.0
        q = slope * z + intercept
        wrong = (sigmoid(q) - y) / len(y)
        gradient = [slope * float(wrong @ z)] + ([float(wrong.sum())] if kind == "platt" else [])
        return log_loss(q, y), np.array(gradient)

    start = np.zeros(2 if kind == "platt" else 1)
    bounds = [tuple(np.log(SLOPE_RANGE)), (-50.0, 50.0)][: len(start)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
    slope, intercept = float(np.exp(found.x[0])), float(found.x[1]) if kind == "platt" else 0.0
    slope = float(np.clip(slope, *SLOPE_RANGE))
    if slope <= SLOPE_RANGE[0] * 1.001:
        return Calibration(note=f"{kind}: the logits do not rise with the targets; left as they are")
    if log_loss(slope * z + intercept, y) >= log_loss(z, y) - 1e-12:
        return Calibration(note=f"{kind}: the likelihood did not improve; left as they are")
    return Calibration(kind, slope, intercept, note)


def _separable(z: np.ndarray, y: np.ndarray, kind: str) -> bool:
    """Whether a steeper slope always fits better: hard labels, every atypical logit above every normal one (and above 0)."""
    if not np.all((y == 0) | (y == 1)):
        return False
    lowest, highest = z[y == 1].min(), z[y == 0].max()
    return bool(highest < lowest if kind == "platt" else highest <= 0 <= lowest and highest < lowest)
