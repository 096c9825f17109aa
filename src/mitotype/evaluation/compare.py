"""Two score tables compared patch by patch: differences with intervals and p-values over cases."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mitotype.core.errors import UserError
from mitotype.core.rates import or_none
from mitotype.core.run_layout.evaluation import Interval
from mitotype.evaluation.distinct import distinct_images
from mitotype.evaluation.interval import intervals, p_value, spread, t_interval
from mitotype.evaluation.metrics import Number, bootstrap_metrics, compute, metrics_of
from mitotype.evaluation.resample import bootstrap_cases
from mitotype.scores.decision import without_case


@dataclass(frozen=True)
class ComparedSet:
    """One set of patches under `a` and `b`: each alone, and the difference b - a with the p-value of no difference.

    `only_a` and `only_b` patches have scores of one only, `without_case` have no case in either and are cases of their own. `p`
    is two-sided and of the t distribution of the difference's interval, over cases: it is below 1 - level exactly where the
    interval excludes 0.
    """

    name: str
    patches: int
    atypical: int
    cases: int
    only_a: int
    only_b: int
    without_case: int
    a: dict[str, Interval]
    b: dict[str, Interval]
    difference: dict[str, Interval]
    p: dict[str, float | None]


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
    evaluated on the same cases in every replicate, so that what is hard for both cancels. Labels, cases, domains and digests that
    one table lacks are those of the other. Raises a UserError if they share no labelled patch or disagree on a label.
    """
    key = ["patch_id", "part"]
    facts = ["label", "case", "domain", "digest"]
    both = a.merge(b[[*key, "calibrated_logit", "probability", "class", *facts]], on=key, suffixes=("", "_b"))
    differ = both[both["label"].notna() & both["label_b"].notna() & (both["label"] != both["label_b"])]
    if len(differ):
        raise UserError(
            f"'{names[0]}' and '{names[1]}' have different labels for {len(differ)} patches; the first: "
            f"'{differ.iloc[0]['patch_id']}'.",
            fix="score both on the same copy of the data",
        )
    for fact in facts:
        is_absent = without_case(both[fact]) if fact == "case" else both[fact].isna() | (both[fact].astype(str) == "")
        both[fact] = both[fact].where(~is_absent, both[f"{fact}_b"])
    both = both[both["label"].notna()]
    if not len(both):
        raise UserError(f"'{names[0]}' and '{names[1]}' share no labelled patch.", fix="score both on one dataset")
    sets = []
    for (dataset, part), rows in both.groupby(["dataset", "part"], sort=False):
        of_set = [t[(t["dataset"] == dataset) & (t["part"] == part) & t["label"].notna()] for t in (a, b)]
        only_a, only_b = (int((~t["patch_id"].isin(rows["patch_id"])).sum()) for t in of_set)
        rows = rows[distinct_images(rows).mask].reset_index(drop=True)
        sets.append(_compare_set(f"{dataset} ({part})", rows, only_a, only_b, n_boot, seed))
    return Comparison(*names, tuple(sets), n_boot, seed)


def _compare_set(name: str, rows: pd.DataFrame, only_a: int, only_b: int, n_boot: int, seed: int) -> ComparedSet:
    label = rows["label"].to_numpy(float)
    a, b = (
        [
            (rows[f"class{s}"] == "atypical").to_numpy(int),
            *rows[[f"probability{s}", f"calibrated_logit{s}"]].to_numpy(float).T,
        ]
        for s in ("", "_b")
    )
    bootstrap = bootstrap_cases(rows, n_boot=n_boot, seed=seed)
    metrics = list(metrics_of())
    replicates_a, replicates_b = (bootstrap_metrics(metrics, label, m[0], m[1], bootstrap, m[2]) for m in (a, b))
    difference: dict[str, Interval] = {}
    p: dict[str, float | None] = {}
    for metric in metrics:
        number_a, number_b = compute(metric, label, *a), compute(metric, label, *b)
        number = Number(number_b.value - number_a.value, number_a.reason or number_b.reason)
        replicate_D = replicates_b[metric] - replicates_a[metric]
        difference[metric] = t_interval(number, replicate_D, bootstrap, scale="real", paired=True)
        p[metric] = or_none(p_value(number, spread(replicate_D, bootstrap, paired=True)))
    return ComparedSet(
        name,
        len(rows),
        int(label.sum()),
        bootstrap.groups,
        only_a,
        only_b,
        int(without_case(rows["case"]).sum()),
        intervals(metrics, label, a[0], a[1], bootstrap, score=a[2]),
        intervals(metrics, label, b[0], b[1], bootstrap, score=b[2]),
        difference,
        p,
    )
