"""The correction of a shifted score without labels: balanced accuracy with it and without, each domain left out in turn.

    python performance/shift.py RUN [--json FILE]

RUN was trained with `--set folds=domain`, so that each domain's out-of-fold rows come from a member that was trained on none of
it. For each domain calibration, threshold and the reference of the correction are fitted on the rows of the others, then the
domain is decided: as it is, with its median moved onto theirs, and with the shrunken estimate of `scores.shift`, for the domain as
one batch and for each case of 64 or more figures as its own. Differences are paired, with intervals over cases.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mitotype.core import records
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.evaluation.interval import t_interval
from mitotype.evaluation.metrics import Number, bootstrap_metrics, compute
from mitotype.evaluation.resample import bootstrap_cases
from mitotype.scores import calibrate, shift, table, threshold
from mitotype.scores.calibrate import logit_of
from mitotype.scores.decision import case_keys
from mitotype.scores.ensemble import mean_logit

METHODS = ("none", "median", "shrunken", "shrunken, by case")


def read_rows(run_dir: Path) -> pd.DataFrame:
    scores = table.read(run_dir).take(part=OUT_OF_FOLD)
    rows = scores.joined(mean_logit(scores))
    return rows.assign(case=case_keys(rows))


def decide_domain(rows: pd.DataFrame, domain: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the rows of a domain with the class by each method, and the shift that each subtracts."""
    own = rows["domain"] == domain
    others, rows = rows[~own], rows[own].reset_index(drop=True)
    label, case = others["label"].to_numpy(float), others["case"].to_numpy(str)
    calibration = calibrate.fit(others["logit"].to_numpy(float), label, "platt")
    reference_N = calibration.calibrated(others["logit"].to_numpy(float))
    fitted = threshold.fit(calibration.probability(others["logit"].to_numpy(float)), label, case)
    reference = shift.fit(reference_N, label, others["domain"].to_numpy(str), case)
    logit_N, at = calibration.calibrated(rows["logit"].to_numpy(float)), float(logit_of(fitted.value))
    by_case = np.zeros(len(rows))
    for name in rows["case"].unique():
        of_case = (rows["case"] == name).to_numpy()
        by_case[of_case] = shift.estimate(reference, logit_N[of_case])
    median = float(np.median(logit_N)) - reference.location
    shifts = (0.0, median, shift.estimate(reference, logit_N, cases=rows["case"].nunique()), by_case)
    classes = {name: (logit_N - moved >= at).astype(int) for name, moved in zip(METHODS, shifts, strict=True)}
    return rows.assign(**classes), {name: float(np.mean(moved)) for name, moved in zip(METHODS, shifts, strict=True)}


def differences(rows: pd.DataFrame, n_boot: int) -> tuple[float, dict[str, Interval]]:
    """Return the balanced accuracy without correction, and the difference that each method makes."""
    label, bootstrap = rows["label"].to_numpy(float), bootstrap_cases(rows, n_boot=n_boot, seed=0)

    def of(method: str) -> tuple[float, np.ndarray]:
        predicted = rows[method].to_numpy(int)
        replicates = bootstrap_metrics(["balanced_accuracy"], label, predicted, predicted.astype(float), bootstrap)
        return compute("balanced_accuracy", label, predicted, predicted.astype(float)).value, replicates[
            "balanced_accuracy"
        ]

    value, replicate_D = of("none")
    result = {}
    for method in METHODS[1:]:
        other, other_D = of(method)
        result[method] = t_interval(Number(other - value), other_D - replicate_D, bootstrap, scale="real", paired=True)
    return value, result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a finished run with folds=domain")
    parser.add_argument("--n-boot", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    rows = read_rows(args.run)
    decided = {str(domain): decide_domain(rows, str(domain)) for domain in sorted(rows["domain"].unique())}
    sets = {domain: part for domain, (part, _) in decided.items()}
    sets["all"] = pd.concat(sets.values(), ignore_index=True)
    report: list[dict[str, Any]] = []
    print(f"{'':26}{'n':>6}{'none':>8}" + "".join(f"{method:>34}" for method in METHODS[1:]))
    for name, part in sets.items():
        value, changed = differences(part, args.n_boot)
        shifts = decided[name][1] if name in decided else {}
        cells = []
        for method, interval in changed.items():
            moved = f"{shifts[method]:+.2f}: " if shifts else ""
            bounds = (
                f"[{interval.low:+.3f}, {interval.high:+.3f}]"
                if interval.low is not None
                else f"[{interval.reason[:14]}]"
            )
            cells.append(f"{moved}{interval.value:+.4f} {bounds}")
        print(f"{name:26}{len(part):>6}{value:>8.4f}" + "".join(f"{cell:>34}" for cell in cells))
        report.append({"domain": name, "patches": len(part), "none": value, "difference": changed, "shift": shifts})
    if args.json:
        records.write(args.json, {"benchmark": "shift", "run": args.run.name, "rows": report})


if __name__ == "__main__":
    main()
