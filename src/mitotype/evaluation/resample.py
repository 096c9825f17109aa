"""Bootstrap and jackknife over cases: how often each replicate contains each case, and every metric of all replicates at once.

Shapes: D replicates, C cases, N rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mitotype.core.rates import divide
from mitotype.core.seeds import numpy_generator
from mitotype.evaluation import recalibration
from mitotype.evaluation.metrics import CLASS, ECE_BINS, LOG_CLIP, ece_bin, get

MAX_ELEMENTS = 2_000_000  # replicates × rows in memory at once
MAX_JACKKNIFE_CASES = 500  # above, no case weighs enough to matter


@dataclass(frozen=True)
class Bootstrap:
    """`weight_DC` is how often each replicate contains each case, `code_N` the case of each row, `stratum_C` its stratum.

    The first `n_boot` replicates sample cases with replacement within their stratum, as many as it has; the others, one for
    each case unless there are more than 500, leave one case out. `by` and `within` are names of columns.
    """

    weight_DC: np.ndarray
    code_N: np.ndarray
    stratum_C: np.ndarray
    n_boot: int
    by: str = "case_id"
    within: str = "domain"

    def take(self, rows: np.ndarray) -> Bootstrap:
        """Return the same replicates for some of the rows (a mask or indices)."""
        return replace(self, code_N=self.code_N[rows])

    @property
    def groups(self) -> int:
        """The number of cases of the rows."""
        return len(np.unique(self.code_N))

    @property
    def strata(self) -> int:
        """The number of strata of the rows."""
        return len(np.unique(self.stratum_C[self.code_N]))

    def row_weights(self) -> Iterator[np.ndarray]:
        """Yield the weights of the rows, D × N, some replicates at a time, in single precision (exact for counts)."""
        step = max(1, MAX_ELEMENTS // max(1, len(self.code_N)))
        for start in range(0, len(self.weight_DC), step):
            yield self.weight_DC[start : start + step].astype(np.float32)[:, self.code_N]


def case_weights(case: np.ndarray, stratum: np.ndarray, *, n_boot: int, seed: int) -> np.ndarray:
    """Return how often each replicate contains each case, D × C, cases in sorted order; every case is in one stratum."""
    cases, first = np.unique(case, return_index=True)
    case_stratum = stratum[first]
    generator = numpy_generator(seed, "bootstrap over cases")
    weight_DC = np.zeros((n_boot, len(cases)), np.float64)
    for name in np.unique(case_stratum):
        columns = np.flatnonzero(case_stratum == name)
        n = len(columns)
        samples = generator.integers(0, n, (n_boot, n)) + np.arange(n_boot)[:, None] * n
        weight_DC[:, columns] = np.bincount(samples.ravel(), minlength=n_boot * n).reshape(n_boot, n)
    return weight_DC


def bootstrap_cases(rows: pd.DataFrame, *, n_boot: int, seed: int) -> Bootstrap:
    """Return replicates of the cases of `rows` (case, dataset, domain), stratified by domain or dataset.

    The stratum is the domain if every case is in one domain and no domain has a single case (which would be in every
    replicate and seem certain); else the dataset.
    """
    case, dataset = rows["case"].to_numpy(str), rows["dataset"].to_numpy(str)
    domain = rows["domain"].fillna("").astype(str).to_numpy(str)
    pairs = rows.assign(domain=domain).drop_duplicates(["case", "domain"])
    by_domain = not pairs["case"].duplicated().any() and bool(
        (pairs.groupby(["dataset", "domain"])["case"].size() > 1).all()
    )
    stratum = np.array([f"{d}\x1f{m}" if by_domain else d for d, m in zip(dataset, domain, strict=True)])
    cases, first, code = np.unique(case, return_index=True, return_inverse=True)
    weight_DC = case_weights(case, stratum, n_boot=n_boot, seed=seed)
    if len(cases) <= MAX_JACKKNIFE_CASES:
        weight_DC = np.concatenate([weight_DC, 1 - np.eye(len(cases))])
    return Bootstrap(weight_DC, code, stratum[first], n_boot, within="domain" if by_domain else "dataset")


def bootstrap_metrics(
    names: Sequence[str],
    label: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    bootstrap: Bootstrap,
    score: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return each metric in every replicate, D long; nan if it has no rows, or lacks a class that the metric needs."""
    values: dict[str, np.ndarray] = {}
    if not len(label):
        return {name: np.full(len(bootstrap.weight_DC), math.nan) for name in names}
    if "auroc" in names:
        values["auroc"] = _auroc(label, probability if score is None else score, bootstrap)
    if "auprc" in names:
        values["auprc"] = _auprc(label, probability if score is None else score, bootstrap)
    if any(get(name).input == CLASS for name in names):
        values |= _class_metrics(label, predicted, bootstrap)
    if any(name in ("brier", "log_loss", "ece", "observed_expected") for name in names):
        values |= _probability_errors(label, probability, bootstrap)
    for name in ("calibration_intercept", "calibration_slope"):
        if name in names:
            values[name] = recalibration.replicates(
                label, probability, bootstrap.code_N, bootstrap.weight_DC, slope=name == "calibration_slope"
            )
    return {name: values[name] for name in names}


def _sums(value_NK: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Return the sums of the columns of `value_NK` in each replicate, D × K, through sums per case."""
    cases = bootstrap.weight_DC.shape[1]
    sums = [np.bincount(bootstrap.code_N, weights=column, minlength=cases) for column in value_NK.T]
    return bootstrap.weight_DC @ np.stack(sums, axis=1)


def _class_metrics(label: np.ndarray, predicted: np.ndarray, bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    y, c = label == 1, predicted == 1
    tp, fn, fp, tn = _sums(np.stack([y & c, y & ~c, ~y & c, ~y & ~c], axis=1).astype(float), bootstrap).T
    sensitivity, specificity = divide(tp, tp + fn), divide(tn, tn + fp)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": divide(tp + tn, tp + tn + fp + fn),
    }


def _probability_errors(label: np.ndarray, probability: np.ndarray, bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    clipped = np.clip(probability, LOG_CLIP, 1 - LOG_CLIP)
    log_loss = -np.where(label == 1, np.log(clipped), np.log1p(-clipped))
    in_bin = ece_bin(probability)[:, None] == np.arange(ECE_BINS)
    errors = [(probability - label) ** 2, log_loss, label, probability]
    columns = [np.ones(len(label)), *errors, *((probability - label)[:, None] * in_bin).T]
    sums = _sums(np.stack(columns, axis=1), bootstrap)
    count = sums[:, 0]
    return {
        "brier": divide(sums[:, 1], count),
        "log_loss": divide(sums[:, 2], count),
        "observed_expected": divide(sums[:, 3], sums[:, 4]),
        "ece": divide(np.abs(sums[:, 5:]).sum(axis=1), count),
    }


def _auroc(label: np.ndarray, score: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Return the AUROC of every replicate, through the pairs won between cases.

    With won_CC[c, d] the atypical–normal pairs of an atypical patch in case c and a normal one in case d that are in the
    right order (ties half), and w a replicate's weights: AUROC = wᵀ · won · w / (Σ w · atypical · Σ w · normal).
    """
    cases = bootstrap.weight_DC.shape[1]
    present, code = np.unique(bootstrap.code_N, return_inverse=True)  # the cases of these rows
    weight_DC = bootstrap.weight_DC[:, present] if len(present) < cases else bootstrap.weight_DC
    y = label == 1
    if len(present) ** 2 > 100 * len(label):  # many small cases: one pass over the sorted rows is cheaper
        return _auroc_by_rows(y, score, replace(bootstrap, weight_DC=weight_DC, code_N=code))
    positives, negatives = (np.bincount(code[k], minlength=len(present)) for k in (y, ~y))
    order = np.argsort(score[~y], kind="stable")
    below_NC = np.zeros((len(order) + 1, len(present)))
    below_NC[np.arange(1, len(order) + 1), code[~y][order]] = 1
    below_NC = np.cumsum(below_NC, axis=0)
    ranked = score[~y][order]
    left, right = (np.searchsorted(ranked, score[y], side) for side in ("left", "right"))
    won_CC = np.zeros((len(present), len(present)))
    np.add.at(won_CC, code[y], (below_NC[left] + below_NC[right]) / 2)
    wins = ((weight_DC @ won_CC) * weight_DC).sum(axis=1)
    return divide(wins, (weight_DC @ positives) * (weight_DC @ negatives))


def _auroc_by_rows(y: np.ndarray, score: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Return the same from sorted rows: each normal patch loses to the atypical weight above it."""
    order = np.argsort(-score, kind="stable")
    first, last = _ties(score[order])
    values = []
    for weight_DN in bootstrap.take(order).row_weights():
        hits = np.cumsum(weight_DN * y[order], axis=1, dtype=np.float64)
        above = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)
        negative = weight_DN * ~y[order]
        wins = (negative * (above[:, first] + hits[:, last]) / 2).sum(axis=1, dtype=np.float64)
        values.append(divide(wins, hits[:, -1] * negative.sum(axis=1, dtype=np.float64)))
    return np.concatenate(values)


def _auprc(label: np.ndarray, score: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Return the average precision of every replicate from one sort; rows with one score count together."""
    order = np.argsort(-score, kind="stable")
    y = label[order] == 1
    last = _ties(score[order])[1]
    values = []
    for weight_DN in bootstrap.take(order).row_weights():
        positive = weight_DN * y
        hits, passed = np.cumsum(positive, axis=1), np.cumsum(weight_DN, axis=1)
        precision = np.divide(hits, passed, out=np.zeros_like(hits), where=passed > 0)
        if last[-1] != 0 and (np.diff(last) == 0).any():
            precision = precision[:, last]
        total = hits[:, -1].astype(float)
        average = divide(np.einsum("dn,dn->d", positive, precision, dtype=np.float64), total)
        values.append(np.where(passed[:, -1] > total, average, math.nan))
    return np.concatenate(values)


def _ties(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row of sorted scores the first and the last row with the same score."""
    is_first = np.append(True, np.diff(score) != 0)
    group = np.cumsum(is_first) - 1
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(score)) - 1
    return starts[group], ends[group]
