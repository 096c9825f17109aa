"""The demo: from synthetic images to a report, then the shipped bundle on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mitotype.api.data import synthetic_cohort
from mitotype.api.deployment import classify
from mitotype.api.evaluations import Evaluation
from mitotype.api.predictions import Predictions
from mitotype.api.runs import Run
from mitotype.api.scoring import evaluate, report_path, score
from mitotype.api.training import resume, train
from mitotype.core import outputs, records
from mitotype.core.interrupts import continued_by
from mitotype.core.run_layout import names
from mitotype.core.schema import TEST
from mitotype.deploy import bundle

PATCHES, CASES, SEED = 800, 80, 0
CONTENTS = ("cohort", "run", "answers.csv", "answers.json")


@dataclass(frozen=True)
class Demo:
    """What the demo has made: a run, its evaluation and report, and the predictions of the shipped bundle in `csv`."""

    run: Run
    evaluation: Evaluation
    report: Path
    predictions: Predictions | None
    csv: Path


def demo(out: str | Path = "demo", *, quiet: bool = True) -> Demo:
    """Train, score, evaluate and report on a synthetic cohort, and classify it with the shipped bundle.

    Steps that are done are not repeated. The numbers show the workflow and mean nothing for real figures.
    """
    out = Path(out)
    with (
        outputs.claimed(out, CONTENTS, marker="cohort/synthetic.json"),
        continued_by("repeat the command", "Steps that are done are stored."),
    ):
        folder, run_dir, csv = out / "cohort", out / "run", out / "answers.csv"
        cohort = synthetic_cohort(folder, patches=PATCHES, cases=CASES, seed=SEED, quiet=quiet)
        run = resume(run_dir, quiet=quiet) if names.is_run(run_dir) else train("demo", folder, out=run_dir, quiet=quiet)
        score(run, folder, quiet=quiet)
        evaluation = evaluate(run, n_boot=1000, command="mitotype evaluate run")
        report = evaluation.write_report(report_path(run))
        predictions = None
        if bundle.shipped():
            paths = cohort.rows["path"][cohort.rows["part"] == TEST].tolist()
            predictions = classify(paths, out=csv, quiet=quiet)
            records.write(csv.with_suffix(".json"), list(predictions))
    return Demo(run, evaluation, report, predictions, csv)
