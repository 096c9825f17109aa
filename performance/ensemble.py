"""Every combiner and the report from a large stored score table: seconds, and the largest resident memory.

    python performance/ensemble.py [--sources 20] [--views 8] [--patches 100000] [--cases 5000] [--json FILE]

A stand-in for as many runs is written, each with one out-of-fold row per patch and view and the same patches in the test part, the
way a run folder stores them. Then, each in a process of its own: `mitotype ensemble` with every combiner, and evaluation with
the report of one of them. No torch is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COMBINERS = ("mean", "stack", "greedy", "greedy(balanced_accuracy)", "greedy(bags=10)", "sklearn(LogisticRegression)")
LIMIT_S, LIMIT_GB = 60, 4


def write_table(folder: Path, sources: int, views: int, patches: int, cases: int) -> None:
    """Write the patches and the out-of-fold rows of several sources, as an ensemble stores them."""
    from mitotype.core import files

    rng = np.random.default_rng(0)
    case_N = rng.integers(0, cases, patches)
    label_N = (rng.random(patches) < 0.22).astype(float)
    patch_N = np.array([f"study/{i:06d}" for i in range(patches)])
    rows = pd.DataFrame({
        "patch_id": patch_N, "dataset": "study", "case_id": [f"slide {c:05d}" for c in case_N],
        "domain": [f"scanner {c % 10}" for c in case_N], "label": label_N, "votes_for": 3 * label_N, "votes": 3.0,
        "digest": [f"{i:064x}" for i in range(patches)],
    })  # fmt: skip
    files.write_table(folder / "patches.parquet", rows)
    fold_N = case_N % 5 + 1
    difficulty_N = 2.4 * label_N - 1.7 + rng.normal(0, 0.7, cases)[case_N] + rng.normal(0, 1, patches)
    view_names = ["identity", *(f"view{v}" for v in range(1, views))]
    parts = []
    for source in range(sources):
        of_source = difficulty_N + rng.normal(0, 0.6 + 0.05 * source, patches)
        logit_NV = of_source[:, None] + rng.normal(0, 0.2, (patches, views))
        member_N = pd.Categorical.from_codes(fold_N - 1, [f"run{source:02d}/fold{f}-seed0" for f in range(1, 6)])
        parts.append(pd.DataFrame({
            "patch_id": pd.Categorical.from_codes(np.repeat(np.arange(patches), views), patch_N),
            "part": pd.Categorical.from_codes(np.zeros(patches * views, int), ["out-of-fold"]),
            "fold": np.repeat(fold_N, views),
            "member": member_N.repeat(views),
            "view": pd.Categorical.from_codes(np.tile(np.arange(views), patches), view_names),
            "logit": logit_NV.ravel(),
        }))  # fmt: skip
    _write_parquet(folder / "scores.parquet", parts)


def _write_parquet(path: Path, parts: list[pd.DataFrame]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    text = [(name, pa.string()) for name in ("patch_id", "part", "member", "view")]
    schema = pa.schema([*text[:2], ("fold", pa.int64()), *text[2:], ("logit", pa.float64())])
    with parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            writer.write_table(pa.Table.from_pandas(part, preserve_index=False).cast(schema))


def combine(folder: Path, combiner: str) -> dict[str, Any]:
    """Fit a combiner and its decision, as `mitotype ensemble` does after it has read its runs."""
    from mitotype.scores import decision, table
    from mitotype.scores.combiners import combiners
    from mitotype.scores.sources import source_rows

    rows = source_rows(table.read(folder))
    _, logit_N = combiners.read(combiner).cross_fit(rows, 5, 0)
    fitted = decision.fit(rows.rows.assign(logit=logit_N))
    return {"balanced_accuracy": fitted.threshold.balanced_accuracy}


def report(folder: Path, n_boot: int) -> dict[str, Any]:
    """Evaluate the mean and write its report, as `mitotype evaluate` does."""
    from mitotype.api import scoring

    evaluation = scoring.evaluate(folder, part="out-of-fold", n_boot=n_boot)
    evaluation.write_report(folder / "report-out-of-fold.html")
    return {"balanced_accuracy": evaluation.entries[0].headline.metrics["balanced_accuracy"].value}


def measured(folder: Path, task: str, n_boot: int) -> dict[str, Any]:
    """Return what a task prints, in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--task", task, "--n-boot", str(n_boot)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
    if done.returncode:
        sys.exit(done.stderr)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def run_task(folder: Path, task: str, n_boot: int) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    result = report(folder, n_boot) if task == "report" else combine(folder, task)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = {
        "task": task,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "peak_gb": peak_gb,
        "torch": "torch" in sys.modules,
        **result,
    }
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, value in (("sources", 20), ("views", 8), ("patches", 100_000), ("cases", 5000), ("n-boot", 2000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tasks", nargs="+", default=[*COMBINERS, "report"])
    parser.add_argument("--folder", type=Path, help="a folder with the table, which is written there if it is not")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    if args.task:
        run_task(args.folder, args.task, args.n_boot)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "scores.parquet").is_file():
            write_table(folder, args.sources, args.views, args.patches, args.cases)
        count = args.sources * args.views * args.patches
        print(
            f"{args.sources} sources, {args.views} views, {args.patches} patches of {args.cases} cases: {count} rows\n"
        )
        print(f"{'':34}{'seconds':>9}{'cpu s':>9}{'peak GB':>9}{'torch':>8}{'bal. acc.':>11}")
        rows = []
        for task in args.tasks:
            row = measured(folder, task, args.n_boot)
            rows.append(row)
            print(
                f"{task:34}{row['seconds']:>9.1f}{row['cpu_s']:>9.1f}{row['peak_gb']:>9.2f}{row['torch']!s:>8}"
                f"{row['balanced_accuracy']:>11.4f}",
                flush=True,
            )
    total_s, peak_gb = sum(row["seconds"] for row in rows), max(row["peak_gb"] for row in rows)
    print(
        f"{'in all':34}{total_s:>9.1f}{sum(row['cpu_s'] for row in rows):>9.1f}{peak_gb:>9.2f}  (goal: {LIMIT_S} s, {LIMIT_GB} GB)"
    )
    if args.json:
        machine = {"cpu": platform.processor(), "cores": os.cpu_count(), "python": platform.python_version()}
        args.json.write_text(json.dumps({"benchmark": "ensemble", "machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
