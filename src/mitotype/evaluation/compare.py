"""Two score tables compared patch by patch: differences with intervals by case, DeLong for AUROC, McNemar for the calls."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core.files import plain
from mitotype.core.mistakes import Mistake
from mitotype.evaluation import resample
from mitotype.evaluation.distinct import distinct
from mitotype.evaluation.interval import Interval, bounded, intervals
from mitotype.evaluation.metrics import METRICS, Number, compute

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Test:
    """A p-value with what it was made of, or nan with the reason."""

    name: str
    p: float
    statistic: float = math.nan
    detail: str = ""


@dataclass(frozen=True)
class Compared:
    """One set of patches under `a` and `b`: each alone, the difference b - a, and two tests.

    `only_a` and `only_b` patches were scored by one alone. The tests take patches for independent, as the intervals do not.
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
    delong: Test
    mcnemar: Test


@dataclass(frozen=True)
class Comparison:
    name_a: str
    name_b: str
    sets: tuple[Compared, ...]
    draws: int
    seed: int
    level: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: nan becomes null, with its reason beside it."""
        return plain(asdict(self))


def compare(
    a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str] = ("A", "B"), *, draws: int = 2000, seed: int = 0
) -> Comparison:
    """Compare two tables of judged rows (`judged(scores, decision)`), one set for each dataset and part they share.

    Only patches that both have scored count, each picture once; how many one alone has is told. Both are judged on the same cases in every
    draw, so that what is hard for both cancels. Raises a Mistake where they share no labelled patch or disagree on a label.
    """
    key = ["patch_id", "part"]
    both = a.merge(b[[*key, "probability", "class", "label"]], on=key, suffixes=("", "_b"))
    differ = both[both["label"].notna() & both["label_b"].notna() & (both["label"] != both["label_b"])]
    if len(differ):
        raise Mistake(
            f"'{names[0]}' and '{names[1]}' carry different labels for {len(differ)} patches; the first: "
            f"'{differ.iloc[0]['patch_id']}'.",
            fix="score both on the same copy of the data",
        )
    both = both[both["label"].notna()]
    if not len(both):
        raise Mistake(f"'{names[0]}' and '{names[1]}' share no labelled patch.", fix="score both on one dataset")
    sets = []
    for (dataset, part), rows in both.groupby(["dataset", "part"], sort=False):
        alone = [
            int(((t["dataset"] == dataset) & (t["part"] == part) & t["label"].notna()).sum() - len(rows))
            for t in (a, b)
        ]
        once = rows[distinct(rows).keep].reset_index(drop=True)
        sets.append(_compared(f"{dataset} ({part})", once, alone, draws, seed))
    return Comparison(*names, tuple(sets), draws, seed)


def _compared(name: str, rows: pd.DataFrame, alone: list[int], draws: int, seed: int) -> Compared:
    label = rows["label"].to_numpy(float)
    given = [
        ((rows[f"class{s}"] == "atypical").to_numpy(int), rows[f"probability{s}"].to_numpy(float)) for s in ("", "_b")
    ]
    drawn = resample.of_rows(rows, draws=draws, seed=seed)
    wanted = list(METRICS)
    single = [intervals(wanted, label, *one, drawn) for one in given]
    each = [resample.metric_draws(wanted, label, *one, drawn) for one in given]
    difference = {}
    for metric in wanted:
        numbers = [compute(metric, label, *one) for one in given]
        reason = numbers[0].reason or numbers[1].reason
        number = Number(numbers[1].value - numbers[0].value, reason)
        difference[metric] = bounded(number, each[1][metric] - each[0][metric], drawn)
    return Compared(
        name,
        len(rows),
        int(label.sum()),
        drawn.groups,
        alone[0],
        alone[1],
        single[0],
        single[1],
        difference,
        delong(label, given[0][1], given[1][1]),
        mcnemar(label, given[0][0], given[1][0]),
    )


def delong(label: np.ndarray, score_a: np.ndarray, score_b: np.ndarray) -> Test:
    """DeLong's test of two AUROCs on the same patches (DeLong et al. 1988, with the midranks of Sun & Xu 2014).

    With V10 the share of normal patches below each atypical one and V01 the share of atypical patches above each normal one,
    var(AUC_b - AUC_a) = var(V10_b - V10_a) / m + var(V01_b - V01_a) / n; two-sided normal p. Patches are taken for independent:
    where cases matter, believe the interval.
    """
    from scipy.stats import norm, rankdata

    label = np.asarray(label)
    m, n = int((label == 1).sum()), int((label == 0).sum())
    if m < 2 or n < 2:
        return Test("DeLong", math.nan, detail=f"{m} atypical and {n} normal patches: at least two of each are needed")
    v10, v01 = [], []
    for score in (score_a, score_b):
        x, y = score[label == 1], score[label == 0]
        both = rankdata(np.concatenate([x, y]))
        v10.append((both[:m] - rankdata(x)) / n)
        v01.append(1 - (both[m:] - rankdata(y)) / m)
    gain = float(v10[1].mean() - v10[0].mean())
    variance = float(np.var(v10[1] - v10[0], ddof=1) / m + np.var(v01[1] - v01[0], ddof=1) / n)
    if variance <= 0:
        p = 1.0 if gain == 0 else 0.0
        return Test("DeLong", p, math.nan, "the two scores rank alike" if gain == 0 else "no variance")
    z = gain / math.sqrt(variance)
    return Test("DeLong", float(2 * norm.sf(abs(z))), z, f"ΔAUROC {gain:+.4f}, SE {math.sqrt(variance):.4f}")


def mcnemar(label: np.ndarray, predicted_a: np.ndarray, predicted_b: np.ndarray) -> Test:
    """McNemar's exact test on patches that one calls rightly and the other wrongly (two-sided binomial, p = ½)."""
    from scipy.stats import binomtest

    right_a, right_b = predicted_a == label, predicted_b == label
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    detail = f"{only_a} right in A alone, {only_b} right in B alone"
    if only_a + only_b == 0:
        return Test("McNemar", 1.0, 0.0, detail)
    return Test("McNemar", float(binomtest(only_b, only_a + only_b).pvalue), float(only_b - only_a), detail)
