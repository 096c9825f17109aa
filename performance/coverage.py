"""How often the 95 % intervals of an evaluation hold the truth, and how often a comparison of equals rejects.

    python performance/coverage.py [--runs 1000] [--n-boot 1000] [--setting NAME] [--json FILE]

Each run draws scores for patches in the 56 test cases of AMi-Br, with their numbers of normal and atypical patches: a patch
scores δ · atypical + its case's effect (SD τ) + standard normal noise. The truth is the expectation over new cases. For the
comparison of equals, two models score the same patches with the same δ; each has noise of its own and, with interaction, an
effect of its own on every case. Printed are shares with their standard errors.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from mitotype.evaluation import compare
from mitotype.evaluation.interval import intervals
from mitotype.evaluation.resample import bootstrap_cases

SIZES = {  # of AMi-Br's test cases: (patches, atypical ones)
    "MIDOG21 Aperio CS2": [
        (12, 1),
        (11, 1),
        (1, 0),
        (3, 1),
        (6, 3),
        (30, 17),
        (22, 3),
        (61, 7),
        (19, 5),
        (9, 2),
        (5, 1),
    ],
    "MIDOG21 Hamamatsu S360": [
        *[(14, 0), (8, 0), (4, 1), (22, 4), (49, 11), (2, 1), (1, 0), (4, 0), (1, 1), (4, 3), (25, 3), (6, 2)],
        *[(3, 1), (5, 1), (9, 2)],
    ],
    "MIDOG21 Hamamatsu XR": [(22, 4), (3, 2), (3, 0), (3, 0), (14, 3), (7, 4), (20, 6), (2, 1), (11, 5), (8, 1)],
    "TUPAC16 01-23": [(11, 0), (111, 21), (3, 1), (1, 0), (3, 2), (2, 0), (57, 6)],
    "TUPAC16 24-73": [
        *[(1, 1), (3, 0), (4, 2), (13, 3), (1, 0), (36, 9), (13, 1), (3, 0), (1, 0), (23, 8), (40, 16), (6, 2)],
        (65, 15),
    ],
}
COVERAGE = {  # setting: (domains, τ)
    "56 cases, weak": (tuple(SIZES), 0.3),
    "56 cases, strong": (tuple(SIZES), 0.8),
    "10 cases": (("MIDOG21 Hamamatsu XR",), 0.6),
    "7 cases": (("TUPAC16 01-23",), 0.6),
}
NULLS = {"no interaction": 0.0, "interaction": 0.5}  # SD of a model's own effect on each case
METRICS = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "brier")
DELTA, CUT, SLOPE = 2.0, 1.0, 1.5


def cohort(domains: tuple[str, ...]) -> pd.DataFrame:
    """Return one row per patch: case, dataset, domain, label."""
    rows = [
        {"case": f"{domain} {index}", "domain": domain, "label": float(patch < atypical)}
        for domain in domains
        for index, (patches, atypical) in enumerate(SIZES[domain])
        for patch in range(patches)
    ]
    return pd.DataFrame(rows).assign(
        dataset="simulated", part="test", patch_id=[f"{i}.png" for i in range(len(rows))], digest=""
    )


def scored(rows: pd.DataFrame, case_effect: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """Return the rows with logit, probability and class of one model."""
    code = np.unique(rows["case"], return_inverse=True)[1]
    logit = SLOPE * (DELTA * rows["label"] - CUT + case_effect[code] + generator.normal(size=len(rows)))
    probability = 1 / (1 + np.exp(-logit))
    return rows.assign(
        calibrated_logit=logit, probability=probability, **{"class": np.where(logit >= 0, "atypical", "normal")}
    )


def truth(tau: float) -> dict[str, float]:
    """Return the expectation of every metric."""
    sd = math.sqrt(1 + tau**2)
    rate = float(norm.cdf(CUT / sd))  # δ = 2 · cut: sensitivity and specificity are alike
    latent = np.linspace(-8, 8, 20001)
    weight = norm.pdf(latent) / norm.pdf(latent).sum()
    square = 1 / (1 + np.exp(-SLOPE * (latent * sd - CUT))) ** 2
    auroc = float(norm.cdf(DELTA / (sd * math.sqrt(2))))
    brier = float((square * weight).sum())  # the same for both classes
    return dict(zip(METRICS, (rate, rate, rate, auroc, brier), strict=True))


def coverage(name: str, runs: int, n_boot: int) -> pd.DataFrame:
    """Return per metric the share of intervals that hold the truth, of those above it, and of runs without an interval."""
    domains, tau = COVERAGE[name]
    rows, generator = cohort(domains), np.random.default_rng(1)
    expected = truth(tau)
    records = []
    for run in range(runs):
        effect = generator.normal(scale=tau, size=rows["case"].nunique())
        table = scored(rows, effect, generator)
        arrays = (
            table["label"].to_numpy(),
            (table["class"] == "atypical").to_numpy(int),
            table["probability"].to_numpy(),
        )
        bootstrap = bootstrap_cases(table, n_boot=n_boot, seed=run)
        for metric, interval in intervals(METRICS, *arrays, bootstrap).items():
            low, high = (math.nan if x is None else x for x in (interval.low, interval.high))
            records.append(
                {
                    "metric": metric,
                    "covered": low <= expected[metric] <= high,
                    "above": low > expected[metric],
                    "width": high - low,
                    "none": math.isnan(low),
                }
            )
    table = pd.DataFrame(records).groupby("metric", sort=False).mean()
    return table.assign(se=np.sqrt(table["covered"] * (1 - table["covered"]) / runs))


def rejections(name: str, runs: int, n_boot: int) -> pd.DataFrame:
    """Return per metric the share of comparisons of two equal models with p < .05."""
    rows, generator = cohort(tuple(SIZES)), np.random.default_rng(2)
    cases, records = rows["case"].nunique(), []
    for run in range(runs):
        shared = generator.normal(scale=0.6, size=cases)
        a, b = (scored(rows, shared + generator.normal(scale=NULLS[name], size=cases), generator) for _ in range(2))
        result = compare.compare(a, b, n_boot=n_boot, seed=run).sets[0]
        records += [{"metric": metric, "rejected": (result.p[metric] or 0) < 0.05} for metric in METRICS]
    table = pd.DataFrame(records).groupby("metric", sort=False).mean()
    return table.assign(se=np.sqrt(table["rejected"] * (1 - table["rejected"]) / runs))


def tables(runs: int, n_boot: int, only: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for kind, settings in ((coverage, COVERAGE), (rejections, NULLS)):
        for name in settings:
            if only in ("", name):
                yield f"{kind.__name__}, {name}", kind(name, runs, n_boot)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--n-boot", type=int, default=1000)
    parser.add_argument("--setting", default="", choices=["", *COVERAGE, *NULLS])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {}
    for title, table in tables(options.runs, options.n_boot, options.setting):
        print(f"\n{title}\n{table.round(3).to_string()}", flush=True)
        result[title] = table.round(4).to_dict(orient="index")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
