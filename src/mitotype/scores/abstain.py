"""Abstention: a band around the threshold in which the decision is "uncertain", and its effect (risk and coverage)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from mitotype.core import arguments, run_layout
from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.core.rates import balanced_accuracy, or_none
from mitotype.scores.calibrate import logit_of, sigmoid

MIN_COVERAGE = 0.5  # no rule leaves less than half of the rows certain


class Abstention(run_layout.Abstention, frozen=True):
    """Uncertain where low < P(atypical) < high."""

    def uncertain(self, probability: np.ndarray) -> np.ndarray:
        """Return the mask of the rows inside the band. The band's edges are outside, so that an empty band has no rows."""
        p = np.asarray(probability, float)
        return (p > self.low) & (p < self.high)


class Rule(Protocol):
    """A rule returns half the width of the band on the logit scale."""

    def width(self, probability: np.ndarray, label: np.ndarray, threshold: float) -> float: ...


@dataclass(frozen=True)
class NoBand:
    """No band: every row is certain."""

    def width(self, probability: np.ndarray, label: np.ndarray, threshold: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Share:
    """The share of rows nearest to the threshold."""

    value: float = argument(low=0, high=MIN_COVERAGE, open_low=True, meaning="share of uncertain rows")

    def width(self, probability: np.ndarray, label: np.ndarray, threshold: float) -> float:
        return float(np.quantile(_distance(probability, threshold), self.value))


@dataclass(frozen=True)
class BalancedAccuracy:
    """The narrowest band outside which the rows reach a balanced accuracy."""

    value: float = argument(
        low=0, high=1, open_low=True, open_high=True, meaning="balanced accuracy of the certain rows"
    )

    def width(self, probability: np.ndarray, label: np.ndarray, threshold: float) -> float:
        table = risk_coverage(probability, label, threshold)
        table = table[table["coverage"] >= MIN_COVERAGE]
        reached = table[table["balanced_accuracy"] >= self.value]
        if not len(reached):
            raise UserError(
                f"No abstention band reaches a balanced accuracy of {self.value:g} with half of the rows certain;"
                f" the best is {table['balanced_accuracy'].max():.3f}.",
                fix="set a lower one, or a share: share(0.1)",
            )
        return float(reached["width"].iloc[0])


RULES: Mapping[str, type[Rule]] = {"none": NoBand, "share": Share, "balanced_accuracy": BalancedAccuracy}


def fit(probability: np.ndarray, label: np.ndarray, threshold: float, rule: str = "none") -> Abstention:
    """Fit a band by one of `RULES`, equally wide on both sides of the threshold on the logit scale.

    At the threshold with the best balanced accuracy an atypical and a normal figure are equally likely to have this logit;
    equal distances on the logit scale are equal odds for either side, so the band contains the weakest evidence first.
    Raises a UserError for an unknown rule and for a balanced accuracy that is out of reach.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    fitter = arguments.build_one(rule, RULES, "abstention rule", "mitotype train --help")
    if isinstance(fitter, NoBand):
        return Abstention(threshold, threshold, rule)
    width = fitter.width(p, y, threshold)
    if width <= 0:
        return Abstention(threshold, threshold, rule, 0.0, or_none(balanced_accuracy(y, p >= threshold)))
    center = float(logit_of(threshold))
    band = Abstention(float(sigmoid(center - width)), float(sigmoid(center + width)), rule)
    uncertain = band.uncertain(p)
    certain = balanced_accuracy(y[~uncertain], p[~uncertain] >= threshold)
    return Abstention(band.low, band.high, rule, float(uncertain.mean()), or_none(certain))


def _distance(probability: np.ndarray, threshold: float) -> np.ndarray:
    return np.abs(logit_of(probability) - logit_of(threshold))


def risk_coverage(probability: np.ndarray, label: np.ndarray, threshold: float) -> pd.DataFrame:
    """Return the metrics of the certain rows as the band widens, from all rows down to the farthest from the threshold.

    Columns: `width` (half the band on the logit scale, midway between two rows; the nearer ones are uncertain), `coverage`
    (share of certain rows), `error`, `sensitivity`, `specificity` and `balanced_accuracy` of the certain rows, nan without
    rows of a class. Rows at one distance become uncertain together.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    distance = _distance(p, threshold)
    order = np.argsort(distance, kind="stable")
    distance, y, predicted = distance[order], y[order], (p >= threshold)[order]
    starts = np.flatnonzero(np.append(True, np.diff(distance) > 0))

    def from_start(mask: np.ndarray) -> np.ndarray:
        return np.cumsum(mask.astype(float)[::-1])[::-1][starts]

    count = [from_start(y == cls) for cls in (0, 1)]
    correct = [from_start((predicted == cls) & (y == cls)) for cls in (0, 1)]
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = correct[1] / count[1], correct[0] / count[0]
    total = count[0] + count[1]
    return pd.DataFrame(
        {
            "width": np.where(starts == 0, 0.0, (distance[starts] + distance[np.maximum(starts - 1, 0)]) / 2),
            "coverage": total / len(y),
            "error": 1 - (correct[0] + correct[1]) / total,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "balanced_accuracy": (sensitivity + specificity) / 2,
        }
    )
