"""Score test sets, evaluate scores, compare two sets of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from mitotype.api.data import read_cohorts
from mitotype.api.deployment import open_bundle
from mitotype.api.progress import Progress, no_progress
from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import Opening, append_opening, names, now, read_ledger, read_run
from mitotype.core.run_layout.evaluation import About
from mitotype.core.schema import OUT_OF_FOLD, TEST, Cohort
from mitotype.datasets import overlaps
from mitotype.deploy import predictor
from mitotype.deploy.predictor import Predictor
from mitotype.evaluation import compare as comparison
from mitotype.evaluation import evaluator
from mitotype.evaluation.compare import Comparison
from mitotype.evaluation.report.html import render_report
from mitotype.evaluation.results import Evaluation
from mitotype.scores import table
from mitotype.scores.decision import Decision
from mitotype.scores.table import Scores

REPORTS = {TEST: names.REPORT, OUT_OF_FOLD: names.REPORT_OUT_OF_FOLD}


def score(
    source: str | Path,
    data: Sequence[str],
    *,
    out: Path | None = None,
    mpp_um: float | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> tuple[Path, list[Cohort]]:
    """Score the test parts of `data` with a run or bundle; return the folder of the scores and the cohorts.

    The rows of a run are added to its own score table, those of a bundle to `out` (default: scores/NAME). Every opening of a
    test set is written to the ledger of that folder first.
    """
    opened = open_bundle(source, device=device)
    is_run = names.is_run(opened.dir)
    folder = out or (opened.dir if is_run else Path("scores") / opened.dir.name)
    cohorts = read_cohorts(data, TEST, mpp_um)
    for cohort in cohorts:
        with progress(f"score {cohort.name}", len(cohort)) as advance:
            score_cohort(opened, cohort, [folder], on_progress=advance)
    if not is_run and not (folder / names.DECISION).is_file():
        records.write(folder / names.DECISION, opened.decision)
    return folder, cohorts


def score_cohort(
    opened: Predictor, cohort: Cohort, folders: Sequence[Path], *, on_progress: Callable[[int], None] = lambda n: None
) -> None:
    """Add the scores of a test cohort to the first of `folders`, after recording the opening in the ledger of each.

    Raises a UserError for a cohort that shares cases or images with the training data of a run.
    """
    if names.is_run(opened.dir):
        patches = files.read_table(opened.dir / names.PATCHES)
        overlap = overlaps.find_overlap(patches[patches["fold"] > 0], cohort)
        if overlap:
            raise overlap.error()
    scores = predictor.score(opened, cohort, on_progress=on_progress)
    digest = files.digest_of(*sorted(scores.patches["digest"]))[:16]
    opening = Opening(date=now(), model=opened.dir.name, dataset=cohort.name, patches=len(cohort), digest=digest)
    for folder in folders:
        append_opening(folder, opening)
    table.append(folders[0], scores)


def evaluate(
    source: str | Path, data: Sequence[str] = (), *, part: str = TEST, n_boot: int = 2000, command: str = ""
) -> Evaluation:
    """Evaluate the scores of a run, of a folder of scores, or of a csv with patch_id and score, whose labels are in `data`.

    `part` is "test" or "out-of-fold"; intervals are from `n_boot` bootstrap replicates of the cases. `command` is printed on
    the report, see `write_report`.
    """
    if part not in REPORTS:
        raise UserError(f"There is no part '{part}'.", allowed=", ".join(REPORTS))
    scores, decision = read_scores(source, data)
    if not (scores.scores["part"] == part).any():
        fix = f"mitotype score {source} --on TESTDATA" if part == TEST else "mitotype train"
        raise UserError(f"'{source}' has no {part} rows.", fix=fix)
    path = Path(source)
    folder = path if path.is_dir() else path.parent
    run = read_run(folder) if names.is_run(folder) else None
    about = About(
        title=f"{path.name}: {part}",
        command=command,
        openings=[str(opening) for opening in read_ledger(folder)],
        digests={"training images": run.data.digest, "split": run.split.digest} if run else {},
        held_out=run.data.hold_out if run else [],
    )
    return evaluator.evaluate(scores, decision, part=part, n_boot=n_boot, about=about)


def report_path(source: str | Path, part: str = TEST) -> Path:
    """Return the default path of a report: beside the scores."""
    path = Path(source)
    return (path if path.is_dir() else path.parent) / REPORTS[part]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write a report as HTML, and its numbers beside it: evaluation.json for report.html."""
    files.write_text(path, render_report(evaluation))
    records.write(path.with_name(path.stem.replace("report", "evaluation") + ".json"), evaluation.to_record())


def compare(a: str | Path, b: str | Path, data: Sequence[str] = (), *, n_boot: int = 2000) -> Comparison:
    """Compare two sets of scores on the patches that both have: the differences with intervals over cases, and two tests.

    Each is a run, a folder of scores, or a csv with patch_id and score, whose labels are in `data`.
    """
    rows_a, rows_b = (evaluator.decide_rows(*read_scores(source, data)) for source in (a, b))
    return comparison.compare(rows_a, rows_b, (Path(a).stem, Path(b).stem), n_boot=n_boot)


def read_scores(source: str | Path, data: Sequence[str] = ()) -> tuple[Scores, Decision | None]:
    """Return the scores and the decision of a run or folder of scores, or those of a csv with the labels of `data`."""
    path = Path(source)
    if path.is_dir():
        decision = path / names.DECISION
        return table.read(path), records.read(decision, Decision, what="decision") if decision.is_file() else None
    cohorts = read_cohorts(data, TEST)
    patches = [cohort.rows.assign(digest=list(pack_images(cohort).digests)) for cohort in cohorts]
    return table.read(path, patches=pd.concat(patches, ignore_index=True) if patches else None), None
