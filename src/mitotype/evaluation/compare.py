"""Two score tables compared patch by patch: differences with intervals by case, DeLong for AUROC, McNemar for classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm, rankdata

from mitotype.core.errors import UserError
from mitotype.core.run_layout.evaluation import Interval
from mitotype.evaluation.distinct import distinct_images
from mitotype.evaluation.interval import intervals, percentile_interval
from mitotype.evaluation.metrics import METRICS, Number, compute
from mitotype.evaluation.resample import bootstrap_cases, bootstrap_metrics


@dataclass(frozen=True)
class TestResult:
    """A p-value with the statistic and the numbers behind it, or nan with the reason."""

    name: str
    p: float
    statistic: float = math.nan
    detail: str = ""


@dataclass(frozen=True)
class ComparedSet:
    """One set of patches under `a` and `b`: each alone, the difference b - a, and two tests.

    `only_a` and `only_b` patches have scores of one only. The tests treat patches as independent; the intervals do not.
    """

    name: str
    patches: int
    atypical: int
    cases: int
    only_a: int
    only_b: int
    a: dict[str, Interval]
    b: dict[str, Interval]
    difference: dict[str, Interval]
    delong: TestResult
    mcnemar: TestResult


@dataclass(frozen=True)
class Comparison:
    name_a: str
    name_b: str
    sets: tuple[ComparedSet, ...]
    n_boot: int
    seed: int
    level: float = 0.95


def compare(
    a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str] = ("A", "B"), *, n_boot: int = 2000, seed: int = 0
) -> Comparison:
    """Compare two tables of `decide_rows(scores, decision)`, one set for each dataset and part that both have.

    Only patches with both scores count, each image once; the numbers of the others are `only_a` and `only_b`. Both are
    evaluated on the same cases in every replicate, so that what is hard for both cancels. Raises a UserError if they share no
    labelled patch or disagree on a label.
    """
    key = ["patch_id", "part"]
    both = a.merge(b[[*key, "probability", "class", "label"]], on=key, suffixes=("", "_b"))
    differ = both[both["label"].notna() & both["label_b"].notna() & (both["label"] != both["label_b"])]
    if len(differ):
        raise UserError(
            f"'{names[0]}' and '{names[1]}' have different labels for {len(differ)} patches; the first: "
            f"'{differ.iloc[0]['patch_id']}'.",
            fix="score both on the same copy of the data",
        )
    both = both[both["label"].notna()]
    if not len(both):
        raise UserError(f"'{names[0]}' and '{names[1]}' share no labelled patch.", fix="score both on one dataset")
    sets = []
    for (dataset, part), rows in both.groupby(["dataset", "part"], sort=False):
        only_a, only_b = (
            int(((t["dataset"] == dataset) & (t["part"] == part) & t["label"].notna()).sum() - len(rows))
            for t in (a, b)
        )
        rows = rows[distinct_images(rows).mask].reset_index(drop=True)
        sets.append(_compare_set(f"{dataset} ({part})", rows, only_a, only_b, n_boot, seed))
    return Comparison(*names, tuple(sets), n_boot, seed)


def _compare_set(name: str, rows: pd.DataFrame, only_a: int, only_b: int, n_boot: int, seed: int) -> ComparedSet:
    label = rows["label"].to_numpy(float)
    (class_a, p_a), (class_b, p_b) = (
        ((rows[f"class{s}"] == "atypical").to_numpy(int), rows[f"probability{s}"].to_numpy(float)) for s in ("", "_b")
    )
    bootstrap = bootstrap_cases(rows, n_boot=n_boot, seed=seed)
    metrics = list(METRICS)
    replicates_a = bootstrap_metrics(metrics, label, class_a, p_a, bootstrap)
    replicates_b = bootstrap_metrics(metrics, label, class_b, p_b, bootstrap)
    difference = {}
    for metric in metrics:
        number_a, number_b = compute(metric, label, class_a, p_a), compute(metric, label, class_b, p_b)
        number = Number(number_b.value - number_a.value, number_a.reason or number_b.reason)
        difference[metric] = percentile_interval(number, replicates_b[metric] - replicates_a[metric], bootstrap)
    return ComparedSet(
        name,
        len(rows),
        int(label.sum()),
        bootstrap.groups,
        only_a,
        only_b,
        intervals(metrics, label, class_a, p_a, bootstrap),
        intervals(metrics, label, class_b, p_b, bootstrap),
        difference,
        delong(label, p_a, p_b),
        mcnemar(label, class_a, class_b),
    )


def delong(label: np.ndarray, score_a: np.ndarray, score_b: np.ndarray) -> TestResult:
    """DeLong's test of two AUROCs on the same patches (DeLong et al. 1988, with the midranks of Sun & Xu 2014).

    With V10 the share of normal patches below each atypical one and V01 the share of atypical patches above each normal one,
    var(AUC_b - AUC_a) = var(V10_b - V10_a) / m + var(V01_b - V01_a) / n; two-sided normal p. Patches are treated as
    independent: if cases matter, rely on the interval.
    """
    label = np.asarray(label)
    m, n = int((label == 1).sum()), int((label == 0).sum())
    if m < 2 or n < 2:
        return TestResult(
            "DeLong", math.nan, detail=f"{m} atypical and {n} normal patches: at least two of each are needed"
        )
    v10, v01 = [], []
    for score in (score_a, score_b):
        x, y = score[label == 1], score[label == 0]
        ranks = rankdata(np.concatenate([x, y]))
        v10.append((ranks[:m] - rankdata(x)) / n)
        v01.append(1 - (ranks[m:] - rankdata(y)) / m)
    gain = float(v10[1].mean() - v10[0].mean())
    variance = float(np.var(v10[1] - v10[0], ddof=1) / m + np.var(v01[1] - v01[0], ddof=1) / n)
    if variance <= 0:
        p = 1.0 if gain == 0 else 0.0
        return TestResult("DeLong", p, math.nan, "the two scores rank alike" if gain == 0 else "no variance")
    z = gain / math.sqrt(variance)
    return TestResult("DeLong", float(2 * norm.sf(abs(z))), z, f"ΔAUROC {gain:+.4f}, SE {math.sqrt(variance):.4f}")


def mcnemar(label: np.ndarray, predicted_a: np.ndarray, predicted_b: np.ndarray) -> TestResult:
    """McNemar's exact test on patches that one classifies correctly and the other does not (two-sided binomial, p = ½)."""
    correct_a, correct_b = predicted_a == label, predicted_b == label
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((~correct_a & correct_b).sum())
    detail = f"{only_a} correct in A only, {only_b} correct in B only"
    if only_a + only_b == 0:
        return TestResult("McNemar", 1.0, 0.0, detail)
    return TestResult("McNemar", float(binomtest(only_b, only_a + only_b).pvalue), float(only_b - only_a), detail)
