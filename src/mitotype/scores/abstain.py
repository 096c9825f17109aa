"""Abstention: a band around the threshold in which the answer is "uncertain", and what it buys (risk and coverage)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core import sentence
from mitotype.core.mistakes import Mistake
from mitotype.scores.calibrate import logit_of, sigmoid

if TYPE_CHECKING:
    import pandas as pd

RULES = "none, share(0.1), balanced_accuracy(0.9)"
MOST = 0.5  # a rule that would keep less than half of the rows is refused


@dataclass(frozen=True)
class Abstention:
    """Uncertain where low < P(atypical) < high. `share` and `kept_balanced_accuracy` are those of the rows it was fitted on."""

    low: float = 0.5
    high: float = 0.5
    rule: str = "none"
    share: float = 0.0
    kept_balanced_accuracy: float = float("nan")

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise Mistake(
                f"The band {self.low} to {self.high} is not one of probabilities.", allowed="0 ≤ low ≤ high ≤ 1"
            )

    def uncertain(self, probability: np.ndarray) -> np.ndarray:
        """True inside the band; the band's edges are certain, so that the empty band calls nothing uncertain."""
        p = np.asarray(probability, float)
        return (p > self.low) & (p < self.high)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Abstention:
        try:
            kept = told.get("kept_balanced_accuracy")
            return cls(
                float(told["low"]),
                float(told["high"]),
                str(told["rule"]),
                float(told.get("share") or 0.0),
                float("nan") if kept is None else float(kept),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Mistake(f"The abstention {str(told)[:80]} cannot be read: {error!r}.") from error


def fit(probability: np.ndarray, label: np.ndarray, threshold: float, rule: str = "none") -> Abstention:
    """The band that `rule` asks for, as wide to the left of the threshold as to the right on the logit scale.

    none                    no band
    share(s)                the share s of rows that lie nearest to the threshold
    balanced_accuracy(b)    the narrowest band outside which the rows reach balanced accuracy b

    At the threshold with the best balanced accuracy an atypical and a normal figure are equally likely to give this logit;
    equal distances on the logit scale are equal odds for either side, so the band drops the weakest evidence first.
    Raises a Mistake where b is out of reach while half of the rows are kept.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    name, number = _step(rule)
    if number is None:
        return Abstention(threshold, threshold, rule)
    distance = np.abs(logit_of(p) - logit_of(threshold))
    if name == "share":
        width = float(np.quantile(distance, number))
    else:
        table = risk_coverage(p, y, threshold)
        good = table[(table["balanced_accuracy"] >= number) & (table["coverage"] >= MOST)]
        if not len(good):
            best = table.loc[table["coverage"] >= MOST, "balanced_accuracy"].max()
            raise Mistake(
                f"No band reaches a balanced accuracy of {number:g} while half of the rows are kept; the best is {best:.3f}.",
                fix="ask for less, or for a share: share(0.1)",
            )
        width = float(good["width"].iloc[0])
    if width <= 0:
        return Abstention(threshold, threshold, rule, 0.0, _balanced_accuracy(p >= threshold, y))
    middle = float(logit_of(threshold))
    band = Abstention(float(sigmoid(middle - width)), float(sigmoid(middle + width)), rule)
    out = band.uncertain(p)
    kept = _balanced_accuracy(p[~out] >= threshold, y[~out])
    return Abstention(band.low, band.high, rule, float(out.mean()), kept)


def _step(rule: str) -> tuple[str, float | None]:
    steps = sentence.pipeline(rule)
    wants = {"none": 0, "share": 1, "balanced_accuracy": 1}
    if len(steps) != 1 or steps[0].options or wants.get(steps[0].name) != len(steps[0].args):
        raise Mistake(f"No abstention reads '{rule[:60]}'.", allowed=RULES)
    if not steps[0].args:
        return steps[0].name, None
    number = steps[0].args[0]
    if isinstance(number, str | tuple) or not 0 < number < 1 or (steps[0].name == "share" and number > MOST):
        raise Mistake(f"The abstention '{rule[:60]}' needs a number between 0 and 1, a share at most {MOST:g}.")
    return steps[0].name, float(number)


def _balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    if not ((label == 1).any() and (label == 0).any()):
        return float("nan")
    return float((predicted[label == 1].mean() + (~predicted[label == 0]).mean()) / 2)


def risk_coverage(probability: np.ndarray, label: np.ndarray, threshold: float) -> pd.DataFrame:
    """What is right among the rows that are kept, from all rows down to the farthest from the threshold.

    Columns: `width` (half the band on the logit scale, set half way between two rows; the nearer ones are dropped),
    `coverage` (share kept), `error` (share of the kept that are wrong), `sensitivity`, `specificity`, `balanced_accuracy`
    of the kept; nan once a class is gone. Rows at one distance are dropped together.
    """
    import pandas as pd

    p, y = np.asarray(probability, float), np.asarray(label, float)
    distance = np.abs(logit_of(p) - logit_of(threshold))
    order = np.argsort(distance, kind="stable")
    distance, y, predicted = distance[order], y[order], (p >= threshold)[order]
    starts = np.flatnonzero(np.append(True, np.diff(distance) > 0))
    right = {cls: ((predicted == cls) & (y == cls)).astype(float) for cls in (0, 1)}
    kept = {cls: np.cumsum((y == cls)[::-1])[::-1][starts] for cls in (0, 1)}
    good = {cls: np.cumsum(right[cls][::-1])[::-1][starts] for cls in (0, 1)}
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = good[1] / kept[1], good[0] / kept[0]
    count = kept[0] + kept[1]
    return pd.DataFrame(
        {
            "width": np.where(starts == 0, 0.0, (distance[starts] + distance[np.maximum(starts - 1, 0)]) / 2),
            "coverage": count / len(y),
            "error": 1 - (good[0] + good[1]) / count,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "balanced_accuracy": (sensitivity + specificity) / 2,
        }
    )
