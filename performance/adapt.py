"""Adaptation to a laboratory's own labels: balanced accuracy on its other cases, by the number of labels.

    python performance/adapt.py RUN [--repeats 20] [--json FILE]

RUN was trained with `--set folds=domain`. Each domain is a laboratory in turn: a decision is fitted on the out-of-fold rows of the
other domains, adapted to the labels of random cases of the domain (as many as give 50, 100 or 200 figures), and evaluated on
its other cases, beside the decision as it is and one that is fitted to the labels alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.rates import balanced_accuracy
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.core.seeds import numpy_generator
from mitotype.scores import adapt, decision, table
from mitotype.scores.decision import Decision, case_keys
from mitotype.scores.ensemble import mean_logit


def value(fitted: Decision, rows: pd.DataFrame) -> float:
    decided = fitted.apply(rows, guard=False)
    return balanced_accuracy(rows["label"].to_numpy(float), (decided["class"] == "atypical").to_numpy(int))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a finished run with folds=domain")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument(
        "--moved", type=float, default=0.0, help="added to the laboratory's logits, as another scanner would"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    scores = table.read(args.run).take(part=OUT_OF_FOLD)
    rows = scores.joined(mean_logit(scores))
    rows = rows.assign(case=case_keys(rows))
    report = []
    print(
        f"{'':26}{'labels':>8}{'as it is':>10}{'adapted':>10}{'labels alone':>14}{'weight':>8}   (mean, and SD of the change)"
    )
    for domain in sorted(rows["domain"].unique()):
        own, others = rows[rows["domain"] == domain], rows[rows["domain"] != domain]
        own = own.assign(logit=own["logit"] + args.moved)
        shipped = decision.fit(others, calibration="platt")
        for labels in (50, 100, 200):
            values = []
            for repeat in range(args.repeats):
                order = numpy_generator(repeat, "adapt", domain).permutation(own["case"].unique())
                size = own.groupby("case").size()[order].cumsum()
                chosen = own["case"].isin(order[: int(np.searchsorted(size, labels)) + 1])
                local, rest = own[chosen].reset_index(drop=True), own[~chosen]
                try:
                    adapt.check_enough(local)
                    alone = decision.fit(local, calibration="platt")
                except UserError:
                    continue
                adapted = adapt.fit(local, shipped)
                values.append([value(fitted, rest) for fitted in (shipped, adapted.decision, alone)] + [adapted.weight])
            values = [v for v in values if np.isfinite(v).all()]
            if len(values) < 3:
                continue
            mean, change = np.mean(values, axis=0), np.diff(np.array(values)[:, :2], axis=1)
            print(
                f"{domain:26}{labels:>8}" + "".join(f"{v:>{w}.4f}" for v, w in zip(mean, (10, 10, 14, 8), strict=True)),
                end="",
            )
            print(f"   {change.std(ddof=1):.4f} of {len(values)}", flush=True)
            report.append(
                {"domain": domain, "labels": labels, "values": mean, "sd": change.std(ddof=1), "repeats": len(values)}
            )
    mean_of = {n: np.mean([r["values"] for r in report if r["labels"] == n], axis=0) for n in (50, 100, 200)}
    for labels, mean in mean_of.items():
        print(
            f"{'mean over domains':26}{labels:>8}"
            + "".join(f"{v:>{w}.4f}" for v, w in zip(mean, (10, 10, 14, 8), strict=True))
        )
    if args.json:
        records.write(args.json, {"benchmark": "adapt", "run": args.run.name, "rows": report})


if __name__ == "__main__":
    main()
