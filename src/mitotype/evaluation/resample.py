"""Resampling of cases: how often each case is drawn, and every metric of every draw at once.

Shapes: D draws, C cases, N rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mitotype.core.seeds import numpy_generator
from mitotype.evaluation.metrics import CLASS, ECE_BINS, LOG_CLIP, ece_bin, get

if TYPE_CHECKING:
    import pandas as pd

CELLS = 2_000_000  # draws × rows that are held at once


@dataclass(frozen=True)
class Draws:
    """`weight_DC` says how often each draw takes each case, `code_N` which case a row belongs to.

    Cases are drawn with replacement within their stratum, as many as it has. `by` and `within` name the columns.
    """

    weight_DC: np.ndarray
    code_N: np.ndarray
    by: str = "case_id"
    within: str = "domain"

    def take(self, keep_N: np.ndarray) -> Draws:
        """The same draws, seen by some of the rows."""
        return Draws(self.weight_DC, self.code_N[keep_N], self.by, self.within)

    @property
    def groups(self) -> int:
        """How many cases the rows belong to."""
        return len(np.unique(self.code_N))

    def weights(self) -> Iterator[np.ndarray]:
        """The weights of the rows, D × N, some draws at a time, in single precision (counts are exact in it)."""
        step = max(1, CELLS // max(1, len(self.code_N)))
        for start in range(0, len(self.weight_DC), step):
            yield self.weight_DC[start : start + step].astype(np.float32)[:, self.code_N]


def draw(case: np.ndarray, stratum: np.ndarray, *, draws: int, seed: int) -> np.ndarray:
    """How often each case is drawn, D × C, cases in sorted order; every case lies in one stratum."""
    cases, first = np.unique(case, return_index=True)
    home = stratum[first]
    generator = numpy_generator(seed, "bootstrap over cases")
    weight_DC = np.zeros((draws, len(cases)), np.float64)
    for name in np.unique(home):
        mine = np.flatnonzero(home == name)
        picks = generator.integers(0, len(mine), (draws, len(mine))) + np.arange(draws)[:, None] * len(mine)
        weight_DC[:, mine] = np.bincount(picks.ravel(), minlength=draws * len(mine)).reshape(draws, len(mine))
    return weight_DC


def of_rows(rows: pd.DataFrame, *, draws: int, seed: int) -> Draws:
    """Draws over the cases of `rows` (case, dataset, domain), within their source.

    The source of a case is its domain, where every case lies in one domain and no domain has a lone case (which would
    be drawn every time and look certain); else the dataset.
    """
    case, dataset = rows["case"].to_numpy(str), rows["dataset"].to_numpy(str)
    domain = rows["domain"].fillna("").astype(str).to_numpy(str)
    pairs = rows.assign(domain=domain).drop_duplicates(["case", "domain"])
    by_domain = not pairs["case"].duplicated().any() and bool(
        (pairs.groupby(["dataset", "domain"])["case"].size() > 1).all()
    )
    stratum = np.array([f"{d}\x1f{m}" if by_domain else d for d, m in zip(dataset, domain, strict=True)])
    code = np.unique(case, return_inverse=True)[1]
    within = "domain" if by_domain else "dataset"
    return Draws(draw(case, stratum, draws=draws, seed=seed), code, "case_id", within)


def metric_draws(
    names: Sequence[str], label: np.ndarray, predicted: np.ndarray, probability: np.ndarray, draws: Draws
) -> dict[str, np.ndarray]:
    """Each metric of each draw, D long; nan where the draw has no row, or lacks a class that the metric needs."""
    found: dict[str, np.ndarray] = {}
    if not len(label):
        return {name: np.full(len(draws.weight_DC), math.nan) for name in names}
    if "auroc" in names:
        found["auroc"] = _auroc(label, probability, draws)
    if "auprc" in names:
        found["auprc"] = _auprc(label, probability, draws)
    if any(get(name).of == CLASS for name in names):
        found |= _counted(label, predicted, draws)
    if any(name in ("brier", "log_loss", "ece") for name in names):
        found |= _summed(label, probability, draws)
    return {name: found[name] for name in names}


def _per_case(value_NK: np.ndarray, draws: Draws) -> np.ndarray:
    """Sums of the columns of `value_NK` in each draw, D × K, through sums per case."""
    cases = draws.weight_DC.shape[1]
    sums = [np.bincount(draws.code_N, weights=column, minlength=cases) for column in value_NK.T]
    return draws.weight_DC @ np.stack(sums, axis=1)


def _over(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(np.shape(total), math.nan), where=count > 0)


def _counted(label: np.ndarray, predicted: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    y, c = label == 1, predicted == 1
    tp, fn, fp, tn = _per_case(np.stack([y & c, y & ~c, ~y & c, ~y & ~c], axis=1).astype(float), draws).T
    sensitivity, specificity = _over(tp, tp + fn), _over(tn, tn + fp)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": _over(tp + tn, tp + tn + fp + fn),
    }


def _summed(label: np.ndarray, probability: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    clipped = np.clip(probability, LOG_CLIP, 1 - LOG_CLIP)
    surprise = -np.where(label == 1, np.log(clipped), np.log1p(-clipped))
    in_bin = ece_bin(probability)[:, None] == np.arange(ECE_BINS)
    columns = [np.ones(len(label)), (probability - label) ** 2, surprise, *((probability - label)[:, None] * in_bin).T]
    sums = _per_case(np.stack(columns, axis=1), draws)
    count = sums[:, 0]
    return {
        "brier": _over(sums[:, 1], count),
        "log_loss": _over(sums[:, 2], count),
        "ece": _over(np.abs(sums[:, 3:]).sum(axis=1), count),
    }


def _auroc(label: np.ndarray, score: np.ndarray, draws: Draws) -> np.ndarray:
    """The AUROC of every draw, through the pairs won between cases.

    With won_CC[c, d] the atypical–normal pairs of an atypical patch in case c and a normal one in case d that are in the
    right order (ties half), and w a draw's weights: AUROC = wᵀ · won · w / (Σ w · atypical · Σ w · normal).
    """
    cases = draws.weight_DC.shape[1]
    here, code = np.unique(draws.code_N, return_inverse=True)  # the cases that these rows belong to
    weight_DC = draws.weight_DC[:, here] if len(here) < cases else draws.weight_DC
    y = label == 1
    if len(here) ** 2 > 100 * len(label):  # many small cases: one pass over the sorted rows is cheaper
        return _auroc_by_rows(y, score, Draws(weight_DC, code))
    positives, negatives = (np.bincount(code[k], minlength=len(here)) for k in (y, ~y))
    order = np.argsort(score[~y], kind="stable")
    below_NC = np.zeros((len(order) + 1, len(here)))
    below_NC[np.arange(1, len(order) + 1), code[~y][order]] = 1
    below_NC = np.cumsum(below_NC, axis=0)
    ranked = score[~y][order]
    left, right = (np.searchsorted(ranked, score[y], side) for side in ("left", "right"))
    won_CC = np.zeros((len(here), len(here)))
    np.add.at(won_CC, code[y], (below_NC[left] + below_NC[right]) / 2)
    wins = ((weight_DC @ won_CC) * weight_DC).sum(axis=1)
    return _over(wins, (weight_DC @ positives) * (weight_DC @ negatives))


def _auroc_by_rows(y: np.ndarray, score: np.ndarray, draws: Draws) -> np.ndarray:
    """The same from the rows in order: each normal patch loses against the atypical weight above it."""
    order = np.argsort(-score, kind="stable")
    first, last = _tied(score[order])
    found = []
    for weight_DN in draws.take(order).weights():
        hits = np.cumsum(weight_DN * y[order], axis=1, dtype=np.float64)
        above = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)
        negative = weight_DN * ~y[order]
        wins = (negative * (above[:, first] + hits[:, last]) / 2).sum(axis=1, dtype=np.float64)
        found.append(_over(wins, hits[:, -1] * negative.sum(axis=1, dtype=np.float64)))
    return np.concatenate(found)


def _auprc(label: np.ndarray, score: np.ndarray, draws: Draws) -> np.ndarray:
    """The average precision of every draw from one sort; rows of one score are passed together."""
    order = np.argsort(-score, kind="stable")
    y = label[order] == 1
    last = _tied(score[order])[1]
    found = []
    for weight_DN in draws.take(order).weights():
        positive = weight_DN * y
        hits, passed = np.cumsum(positive, axis=1), np.cumsum(weight_DN, axis=1)
        precision = np.divide(hits, passed, out=np.zeros_like(hits), where=passed > 0)
        if last[-1] != 0 and (np.diff(last) == 0).any():
            precision = precision[:, last]
        total = hits[:, -1].astype(float)
        average = _over(np.einsum("dn,dn->d", positive, precision, dtype=np.float64), total)
        found.append(np.where(passed[:, -1] > total, average, math.nan))
    return np.concatenate(found)


def _tied(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of sorted scores the first and the last row with the same score."""
    fresh = np.append(True, np.diff(score) != 0)
    group = np.cumsum(fresh) - 1
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], len(score)) - 1
    return starts[group], ends[group]
