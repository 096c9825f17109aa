"""The scale of scores that somebody else's model made: probabilities or logits of the atypical class → logits."""

from __future__ import annotations

import numpy as np

from mitotype.core.errors import UserError

SCALES = ("score", "logit", "probability")  # names of the column
CLIP = 1e-7  # probabilities are clipped to CLIP … 1 - CLIP: single precision rounds 1 - 6e-8 to 1
TOLERANCE = 1e-6  # of a probability outside 0..1: rounding in single precision
MIN_NEGATIVE = 0.02  # share of the scores below 0 of which logits are recognised


def to_logit(value: np.ndarray, scale: str, source: str) -> tuple[np.ndarray, str]:
    """Return scores as logits, and a note with their scale: "logit", "probability", or "score" to recognise it.

    Scores are probabilities if all are in 0..1, and logits if some are negative. Raises a UserError for all others, such as
    percentages, and for probabilities outside 0..1: a single value never changes the meaning of the rest.
    """
    if scale not in SCALES:
        raise UserError(f"No scale is called '{scale}'.", allowed="logit, probability")
    outside = (value < -TOLERANCE) | (value > 1 + TOLERANCE)
    negative = float(np.mean(value < -TOLERANCE)) if len(value) else 0.0
    if scale == "logit" or (scale == "score" and outside.any() and negative >= MIN_NEGATIVE):
        return value, f"{source}: the scores are read as logits of the atypical class"
    if outside.any():
        raise _unclear(value, outside, scale, source)
    clipped = int(np.sum((value < CLIP) | (value > 1 - CLIP)))
    value = np.clip(value, CLIP, 1 - CLIP)
    note = f"; {clipped} nearer than {CLIP:g} to 0 or 1 are clipped" if clipped else ""
    return np.log(value) - np.log1p(
        -value
    ), f"{source}: the scores are read as probabilities of the atypical class{note}"


def _unclear(value: np.ndarray, outside: np.ndarray, scale: str, source: str) -> UserError:
    """Return the error for scores of which some are outside 0..1 and that are not evidently logits."""
    if value.min() >= 0 and 2 < value.max() <= 100 and outside.mean() > 0.5:
        what = f"The scores of '{source}' are between {value.min():.4g} and {value.max():.4g}, like percentages."
        return UserError(what, fix="divide them by 100, or name the column 'logit' if they are logits")
    name = "probabilities" if scale == "probability" else "scores"
    what = f"{int(outside.sum())} of {len(value)} {name} of '{source}' are outside 0..1; the first: {value[outside][0]:.9g}."
    return UserError(what, fix="correct them, or name the column 'logit' if they are logits")
