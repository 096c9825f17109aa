"""The metrics of the certain rows as the band of abstention around the threshold widens."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mitotype.scores.calibrate import logit_of


def distance(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return the distance of each probability from the threshold on the logit scale."""
    return np.abs(logit_of(probability) - logit_of(threshold))


def risk_coverage(probability: np.ndarray, label: np.ndarray, threshold: float) -> pd.DataFrame:
    """Return the metrics of the certain rows as the band widens, from all rows down to the farthest from the threshold.

    Columns: `width` (half the band on the logit scale, midway between two rows; the nearer ones are uncertain), `coverage`
    (share of certain rows), `error`, `sensitivity`, `specificity` and `balanced_accuracy` of the certain rows, nan without
    rows of a class. Rows at one distance become uncertain together.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    distance_N = distance(p, threshold)
    order = np.argsort(distance_N, kind="stable")
    distance_N, y, predicted = distance_N[order], y[order], (p >= threshold)[order]
    starts = np.flatnonzero(np.append(True, np.diff(distance_N) > 0))

    def from_start(mask: np.ndarray) -> np.ndarray:
        return np.cumsum(mask.astype(float)[::-1])[::-1][starts]

    count = [from_start(y == cls) for cls in (0, 1)]
    correct = [from_start((predicted == cls) & (y == cls)) for cls in (0, 1)]
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = correct[1] / count[1], correct[0] / count[0]
    total = count[0] + count[1]
    return pd.DataFrame(
        {
            "width": np.where(starts == 0, 0.0, (distance_N[starts] + distance_N[np.maximum(starts - 1, 0)]) / 2),
            "coverage": total / len(y),
            "error": 1 - (correct[0] + correct[1]) / total,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "balanced_accuracy": (sensitivity + specificity) / 2,
        }
    )
