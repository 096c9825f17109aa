"""Shift: what the unlabelled scores of one batch (a case, or a domain) reveal of a shifted score, and of shifted shares.

Two shifts are different. If the scores of both classes move, as on another scanner, the threshold is wrong: `estimate` is the
part of a batch's location that is likely such a move. If only the share of atypical figures differs, probabilities and counted
shares are wrong, and `label_shift` corrects them; a threshold at the best balanced accuracy is not. There the two classes are
equally likely to have this logit, whatever their shares; of calibrated probabilities that is the training prevalence, and a
figure is above the new prevalence after `label_shift` exactly where it was above the old one before.

Neither does anything for a batch of fewer than MIN_PATCHES.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.core.errors import UserError
from mitotype.scores.calibrate import logit_of, sigmoid

MIN_PATCHES = 64  # of a batch
MIN_CLASS = 5  # rows of each class in a domain that counts
MIN_CASE = 8  # rows of a case whose median counts
MEDIAN_VARIANCE = np.pi / 2  # of a median, in units of the variance of a mean of normal values


@dataclass(frozen=True)
class ShiftReference:
    """What a batch is compared with, from the out-of-fold rows of several domains, on the calibrated logit.

    `location` is their median, `variance` that of their rows, and `between_cases` that of the medians of the cases of a domain.
    `between` is the mean square of x, the location of a domain minus that of the others; `slope` the least-squares slope, 0 to
    1, of the shift of both classes on x.
    """

    location: float
    variance: float
    between_cases: float
    between: float
    slope: float


def fit(logit_N: np.ndarray, label_N: np.ndarray, domain_N: np.ndarray, case_N: np.ndarray) -> ShiftReference:
    """Return the reference of labelled out-of-fold rows: calibrated logits with their domains and cases.

    For each domain x is its median minus that of the others, and t the mean over both classes of the same difference of class
    means: a domain with many atypical figures has an x without a t. slope = Σ x t / Σ x², in 0..1. Raises a UserError for
    fewer than three domains with rows of both classes.
    """
    shifts = []
    for domain in np.unique(domain_N):
        own = domain_N == domain
        groups = [(logit_N[own & (label_N == c)], logit_N[~own & (label_N == c)]) for c in (0, 1)]
        if own.sum() >= MIN_PATCHES and min(len(part) for group in groups for part in group) >= MIN_CLASS:
            of_classes = float(np.mean([a.mean() - b.mean() for a, b in groups]))
            shifts.append((float(np.median(logit_N[own]) - np.median(logit_N[~own])), of_classes))
    if len(shifts) < 3:
        what = f"The rows have {len(shifts)} domains with {MIN_PATCHES} figures of both classes."
        raise UserError(what, fix="estimate a shift from rows of three or more domains")
    x_D, t_D = np.array(shifts).T
    slope = float(np.clip(x_D @ t_D / max(x_D @ x_D, 1e-12), 0, 1))
    variance = float(logit_N.var())
    between_cases = _between_cases(logit_N, domain_N, case_N, variance)
    return ShiftReference(float(np.median(logit_N)), variance, between_cases, float(np.mean(x_D**2)), slope)


def _between_cases(logit_N: np.ndarray, domain_N: np.ndarray, case_N: np.ndarray, variance: float) -> float:
    """Return the variance of the medians of cases around their mean in the domain, without that of the medians themselves."""
    squares, count = 0.0, 0
    for domain in np.unique(domain_N):
        own, own_case = logit_N[domain_N == domain], case_N[domain_N == domain]
        rows = [own[own_case == case] for case in np.unique(own_case)]
        medians = [(float(np.median(part)), len(part)) for part in rows if len(part) >= MIN_CASE]
        if len(medians) > 1:
            median_C, size_C = np.array(medians).T
            noise = float(np.mean(MEDIAN_VARIANCE * variance / size_C))
            squares += (len(median_C) - 1) * (float(median_C.var(ddof=1)) - noise)
            count += len(median_C) - 1
    return max(0.0, squares / count) if count else 0.0


def estimate(reference: ShiftReference, logit_N: np.ndarray, *, cases: int = 1) -> float:
    """Return the shift of a batch of unlabelled calibrated logits of some cases, to be subtracted; 0 below MIN_PATCHES.

        shift = slope · between / (between + between_cases / cases + π/2 · variance / N) · (median of the batch - location)

    This is the linear empirical Bayes estimate: towards none where domains differ little, where what differs between them is
    the share of atypical figures rather than the scores of both classes, and where the batch is small or of few cases, which
    differ more than domains do.
    """
    if len(logit_N) < MIN_PATCHES:
        return 0.0
    noise = reference.between_cases / cases + MEDIAN_VARIANCE * reference.variance / len(logit_N)
    strength = reference.slope * reference.between / max(reference.between + noise, 1e-12)
    return float(strength * (np.median(logit_N) - reference.location))


def label_shift(
    probability_N: np.ndarray, prevalence: float, *, steps: int = 1000, tolerance: float = 1e-9
) -> tuple[float, np.ndarray]:
    """Return the share of atypical figures in a batch, and their probabilities at that share (Saerens et al. 2002).

        p = P r / (P r + (1 - P) (1 - s) / (1 - s₀)),   r = s / s₀,   s ← mean of p

    `probability_N` is calibrated at the `prevalence` s₀. This is expectation maximisation for the share s, started at s₀; its
    likelihood is concave in s. It assumes that the scores of each class are as in training: a shifted score is taken for a
    shifted share. Below MIN_PATCHES the share is the mean of the probabilities, which are returned as they are.
    """
    if not 0 < prevalence < 1:
        raise UserError(f"The prevalence is {prevalence:g}.", allowed="above 0 and below 1")
    p = np.asarray(probability_N, float)
    if len(p) < MIN_PATCHES:
        return float(p.mean()) if len(p) else prevalence, p
    odds_N = logit_of(p) - float(logit_of(prevalence))
    share = prevalence
    for _ in range(steps):
        p = sigmoid(odds_N + logit_of(share))
        previous, share = share, float(p.mean())
        if abs(share - previous) < tolerance:
            break
    return share, p
