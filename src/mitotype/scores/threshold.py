"""Threshold: the probability from which a figure is called atypical, fitted so that it holds still between samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mitotype.core import sentence
from mitotype.core.mistakes import Mistake
from mitotype.scores.calibrate import logit_of, sigmoid
from mitotype.scores.folds import case_folds

RULES = "half, balanced_accuracy, sensitivity(0.9), at(0.4)"
GRID = 201


@dataclass(frozen=True)
class Threshold:
    """A figure is atypical where P(atypical) >= value. The three rates are cross-fitted by case: each case was judged by
    a threshold that other cases gave. nan where a rule fits nothing or the cases do not suffice."""

    value: float = 0.5
    rule: str = "half"
    sensitivity: float = float("nan")
    specificity: float = float("nan")
    balanced_accuracy: float = float("nan")
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise Mistake(f"A threshold of {self.value} is not a probability.", allowed="0 to 1")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Threshold:
        try:
            rates = {
                key: float("nan") if told.get(key) is None else float(told[key])
                for key in ("sensitivity", "specificity", "balanced_accuracy")
            }
            return cls(float(told["value"]), str(told["rule"]), note=str(told.get("note", "")), **rates)
        except (KeyError, TypeError, ValueError) as error:
            raise Mistake(f"The threshold {str(told)[:80]} cannot be read: {error!r}.") from error


def fit(
    probability: np.ndarray,
    label: np.ndarray,
    case: np.ndarray,
    rule: str = "balanced_accuracy",
    *,
    folds: int = 5,
    seed: int = 0,
) -> Threshold:
    """Fit a threshold by `rule` on probabilities with labels 0 and 1; `case` keeps what belongs together together.

    half                 0.5
    at(p)                p, as given
    balanced_accuracy    the highest point of the smoothed balanced accuracy, see `smoothed_best`
    sensitivity(s)       the highest threshold that still calls a share s of the atypical figures atypical: among all
                         thresholds that hold the floor it is the one with the best specificity

    Raises a Mistake for an unknown rule and for rows of one class.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    value = _value(p, y, rule)
    name = _step(rule)[0]
    if name in ("half", "at"):
        return Threshold(value, rule)
    fold = case_folds(case, y, folds=folds, seed=seed)
    predicted = np.zeros(len(y), bool)
    for index in range(int(fold.max()) + 1):
        rest = fold != index
        if not _both(y[rest]):
            return Threshold(value, rule, note="too few cases with both classes for cross-fitted rates")
        predicted[~rest] = p[~rest] >= _value(p[rest], y[rest], rule)
    sensitivity, specificity = float(predicted[y == 1].mean()), float((~predicted[y == 0]).mean())
    return Threshold(value, rule, sensitivity, specificity, (sensitivity + specificity) / 2)


def _step(rule: str) -> tuple[str, float | None]:
    steps = sentence.pipeline(rule)
    wants = {"half": 0, "balanced_accuracy": 0, "sensitivity": 1, "at": 1}
    if len(steps) != 1 or steps[0].options or wants.get(steps[0].name) != len(steps[0].args):
        raise Mistake(f"No threshold rule reads '{rule[:60]}'.", allowed=RULES)
    if not steps[0].args:
        return steps[0].name, None
    number = steps[0].args[0]
    if isinstance(number, str | tuple) or not 0 < number < 1:
        raise Mistake(f"The threshold rule '{rule[:60]}' needs a number between 0 and 1.", allowed=RULES)
    return steps[0].name, float(number)


def _both(label: np.ndarray) -> bool:
    return bool((label == 1).any() and (label == 0).any())


def _value(p: np.ndarray, y: np.ndarray, rule: str) -> float:
    name, number = _step(rule)
    if name == "half":
        return 0.5
    if name == "at" and number is not None:
        return number
    if not _both(y):
        raise Mistake(f"A threshold cannot be fitted on {len(y)} rows of one class.", fix="fit it on both classes")
    return floor(p, y, number) if number is not None else smoothed_best(p, y)


def floor(probability: np.ndarray, label: np.ndarray, sensitivity: float) -> float:
    """The highest threshold that keeps at least the share `sensitivity` of the atypical rows.

    It is set half way down to the next lower score, so that the same rows pass after rounding elsewhere.
    """
    positive = np.sort(probability[label == 1])[::-1]
    last = positive[int(np.ceil(sensitivity * len(positive) - 1e-9)) - 1]
    below = probability[probability < last]
    if not len(below):
        return float(last)
    above = np.nextafter(below.max(), 1)  # neighbours in floating point have no middle: it would round down
    return float(max((last + below.max()) / 2, above))


def smoothed_best(probability: np.ndarray, label: np.ndarray) -> float:
    """The threshold with the best balanced accuracy once each class is smoothed on the logit scale.

    Every row counts as a normal bell around its logit; its width is Silverman's for its class,
    1.06 · min(SD, IQR / 1.34) · n^(-1/5). The best point of the raw steps follows single patches: on simulated cohorts like
    AMi-Br's training part (146 cases, 648 atypical rows, case effects) its SD was .15 in logit and it cost .13 to .15 points
    of balanced accuracy; the median over bootstraps by case .12 to .14 and .09 to .12; this rule .07 to .09 and .03 to .05,
    without bias when the two classes spread differently. (The prevalence as threshold is steadier only while calibration
    is exact.)
    """
    from scipy.special import ndtr

    z = logit_of(probability)
    atypical, normal = z[label == 1], z[label == 0]
    wide, narrow = _bandwidth(atypical), _bandwidth(normal)
    low, high = (float(q) for q in np.quantile(z, [0.005, 0.995]))
    best = low
    for _ in range(2):  # the whole range, then two steps about its best point
        grid = np.linspace(low, high, GRID)
        sensitivity = np.array([ndtr((atypical - point) / wide).mean() for point in grid])
        specificity = np.array([ndtr((point - normal) / narrow).mean() for point in grid])
        best, step = _middle_of_best(grid, sensitivity + specificity), grid[1] - grid[0]
        low, high = best - step, best + step
    return float(sigmoid(best))


def _bandwidth(z: np.ndarray) -> float:
    low, high = np.quantile(z, [0.25, 0.75])
    spread = min(s for s in (z.std(), (high - low) / 1.34, np.inf) if s > 0)
    return float(1.06 * (spread if np.isfinite(spread) else 1e-3) * len(z) ** -0.2)


def _middle_of_best(grid: np.ndarray, height: np.ndarray) -> float:
    """The middle of the stretch where `height` is greatest: a gap between the classes is halved."""
    top = np.flatnonzero(height >= height.max() - 1e-12)
    run = top[: int(np.argmax(np.append(np.diff(top) > 1, True))) + 1]
    return float((grid[run[0]] + grid[run[-1]]) / 2)
