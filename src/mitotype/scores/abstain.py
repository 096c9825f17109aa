"""Abstention: a band around the threshold in which the decision is "uncertain"."""

from __future__ import annotations

import numpy as np

from mitotype.core import run_layout
from mitotype.core.rates import balanced_accuracy, or_none
from mitotype.scores.abstentions import abstentions
from mitotype.scores.calibrate import logit_of, sigmoid


class Abstention(run_layout.Abstention, frozen=True):
    """Uncertain where low < P(atypical) < high."""

    def uncertain(self, probability: np.ndarray) -> np.ndarray:
        """Return the mask of the rows inside the band. The band's edges are outside, so that an empty band has no rows."""
        p = np.asarray(probability, float)
        return (p > self.low) & (p < self.high)


def fit(probability: np.ndarray, label: np.ndarray, threshold: float, rule: str = "none") -> Abstention:
    """Fit a band by a rule of `scores.abstentions`, equally wide on both sides of the threshold on the logit scale.

    At the threshold with the best balanced accuracy an atypical and a normal figure are equally likely to have this logit;
    equal distances on the logit scale are equal odds for either side, so the band contains the weakest evidence first.
    Raises a UserError for an unknown rule and for a balanced accuracy that is out of reach.
    """
    p, y = np.asarray(probability, float), np.asarray(label, float)
    fitter = abstentions.build(rule)
    if not fitter.has_band:
        return Abstention(threshold, threshold, rule)
    width = fitter.width(p, y, threshold)
    if width <= 0:
        return Abstention(threshold, threshold, rule, 0.0, or_none(balanced_accuracy(y, p >= threshold)))
    center = float(logit_of(threshold))
    band = Abstention(float(sigmoid(center - width)), float(sigmoid(center + width)), rule)
    uncertain = band.uncertain(p)
    certain = balanced_accuracy(y[~uncertain], p[~uncertain] >= threshold)
    return Abstention(band.low, band.high, rule, float(uncertain.mean()), or_none(certain))
