"""Score test sets, evaluate scores, compare two sets of scores."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mitotype.api.data import read_cohorts
from mitotype.api.ensembles import add_test_rows, combiner_of, has_test_rows, source_dirs
from mitotype.api.progress import Progress, no_progress
from mitotype.core import files, outputs, records
from mitotype.core.errors import UserError, WriteError
from mitotype.core.folder_lock import exclusive
from mitotype.core.interrupts import continued_by
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import (
    DecisionRecord,
    EvaluationRecord,
    Opening,
    append_opening,
    names,
    now,
    read_ensemble,
    read_finished_run,
    read_ledger,
    read_patches,
    read_run,
)
from mitotype.core.run_layout.evaluation import About
from mitotype.core.schema import OUT_OF_FOLD, TEST, Cohort
from mitotype.datasets import overlaps
from mitotype.deploy.bundle import find_bundle
from mitotype.evaluation import compare as comparison
from mitotype.evaluation import evaluator
from mitotype.evaluation.compare import Comparison
from mitotype.evaluation.report.html import render_report
from mitotype.evaluation.results import Evaluation
from mitotype.scores import table
from mitotype.scores.decision import Decision
from mitotype.scores.table import Scores

if TYPE_CHECKING:
    from mitotype.deploy.predictor import Predictor

REPORTS = {TEST: names.REPORT, OUT_OF_FOLD: names.REPORT_OUT_OF_FOLD}


def open_bundle(source: str | Path, *, device: str) -> Predictor:
    """Open a bundle or run; torch is imported here, so that what only reads scores starts without it."""
    from mitotype.api import deployment

    return deployment.open_bundle(source, device=device)


def score(
    source: str | Path,
    data: Sequence[str],
    *,
    out: Path | None = None,
    mpp_um: float | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> tuple[Path, list[Cohort]]:
    """Score the test parts of `data` with a run, ensemble or bundle; return the folder of the scores and the cohorts.

    The rows of a run are added to its own score table, those of a bundle to `out` (default: scores/NAME), those of an ensemble
    to its own after each of its runs has them. Every opening of a test set is written to the ledger of that folder first.
    """
    if names.is_ensemble(Path(source)):
        return _score_ensemble(Path(source), data, out=out, mpp_um=mpp_um, device=device, progress=progress)
    source_dir = find_bundle(str(source))
    folder = out or (source_dir if names.is_run(source_dir) else Path("scores") / source_dir.name)
    is_own = names.is_run(source_dir) and folder.exists() and folder.samefile(source_dir)
    claim = outputs.claimed(folder, names.SCORE_FILES, marker=names.LEDGER, inputs=data)
    with exclusive(folder) if is_own else claim:
        opened = open_bundle(source, device=device)
        cohorts = read_cohorts(data, TEST, mpp_um)
        if not is_own:
            _write_decision(folder, opened)
        with _unfinished(folder, source, data):
            for cohort in cohorts:
                with progress(f"score {cohort.name}", len(cohort)) as advance:
                    score_cohort(opened, cohort, [folder], on_progress=advance)
    return folder, cohorts


def _score_ensemble(
    folder: Path, data: Sequence[str], *, out: Path | None, mpp_um: float | None, device: str, progress: Progress
) -> tuple[Path, list[Cohort]]:
    """Score with every run of an ensemble that has not scored `data` yet, and add the rows of all to the ensemble's."""
    if out is not None and not (out.exists() and out.samefile(folder)):
        raise UserError("The rows of an ensemble are added to its own folder.", fix="leave --out out")
    run_dirs = source_dirs(folder)
    with exclusive(folder):
        cohorts = read_cohorts(data, TEST, mpp_um)
        with _unfinished(folder, folder, data):
            for run_dir in run_dirs.values():
                missing = [cohort for cohort in cohorts if not has_test_rows(run_dir, cohort)]
                if missing:
                    with exclusive(run_dir):
                        _score_missing(open_bundle(run_dir, device=device), missing, progress)
            for cohort in cohorts:
                add_test_rows(folder, run_dirs, cohort)
    return folder, cohorts


def _score_missing(opened: Predictor, cohorts: Sequence[Cohort], progress: Progress) -> None:
    for cohort in cohorts:
        with progress(f"score {cohort.name} with {opened.dir.name}", len(cohort)) as advance:
            score_cohort(opened, cohort, [opened.dir], on_progress=advance)


def _write_decision(folder: Path, opened: Predictor) -> None:
    """Write the decision beside the rows, before there are any. Raises a UserError for rows of another classifier."""
    decision, path = records.convert(opened.decision, DecisionRecord), folder / names.DECISION
    if path.is_file() and records.read(path, DecisionRecord, what="decision") != decision:
        what = f"'{folder}' contains the scores of another classifier than '{opened.dir}'."
        raise UserError(what, fix=outputs.OTHER_FOLDER)
    records.write(path, decision)


@contextmanager
def _unfinished(folder: Path, source: str | Path, data: Sequence[str]) -> Iterator[None]:
    """Mark the folder while it has rows of some test sets only; after a kill and on a full disk the mark remains."""
    command = shlex.join(["mitotype", "score", str(source), "--on", *data, "--out", str(folder)])
    mark = folder / names.UNFINISHED
    files.write_text(mark, command + "\n")
    try:
        with continued_by("repeat the command", "The scores of every completed test set are stored."):
            yield
    except WriteError:
        raise
    except UserError:
        mark.unlink()
        raise
    mark.unlink()


def score_cohort(
    opened: Predictor, cohort: Cohort, folders: Sequence[Path], *, on_progress: Callable[[int], None] = lambda n: None
) -> None:
    """Add the scores of a test cohort to the first of `folders`, after recording the opening in the ledger of each.

    Raises a UserError for a cohort that shares cases or images with the training data of a run.
    """
    if names.is_run(opened.dir):
        patches = read_patches(opened.dir)
        overlap = overlaps.find_overlap(patches[patches["fold"] > 0], cohort)
        if overlap:
            raise overlap.error()
    from mitotype.deploy import predictor

    scores = predictor.score(opened, cohort, on_progress=on_progress)
    digest = files.digest_of(*sorted(scores.patches["digest"]))[:16]
    opening = Opening(date=now(), model=opened.dir.name, dataset=cohort.name, patches=len(cohort), digest=digest)
    finished = opened.record.run.finished if opened.record.run else None
    for folder in folders:
        append_opening(folder, opening, model_finished=finished or "")
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
    run = read_run(path) if names.is_run(path) else None
    combiner = combiner_of(source)
    about = About(
        title=f"{path.name}: {part}",
        command=command,
        openings=[str(opening) for opening in read_ledger(path)],
        digests={"training images": run.data.digest, "split": run.split.digest} if run else {},
        held_out=run.data.hold_out if run else [],
    )
    return evaluator.evaluate(scores, decision, combiner=combiner, part=part, n_boot=n_boot, about=about)


def report_path(source: str | Path, part: str = TEST) -> Path:
    """Return the default path of a report: in the folder of the scores, or beside a csv and named after it."""
    path = Path(source)
    return path / REPORTS[part] if path.is_dir() else path.with_name(f"{path.stem}.{REPORTS[part]}")


def numbers_path(report: Path) -> Path:
    """Return the path of the numbers beside a report: evaluation.json for report.html, X.json for X.html."""
    return report.with_name(report.stem.replace("report", "evaluation") + ".json")


def check_report(report: Path, source: str | Path, data: Sequence[str] = (), part: str = TEST) -> None:
    """Check, before the work, that a report and its numbers can be written and replace nothing but an evaluation."""
    path, numbers = Path(source), numbers_path(report)
    inputs = [*data, *([] if path.is_dir() else [source])]
    outputs.check_file(report, (".html",), inputs=inputs)
    outputs.check_file(numbers, (".json",), inputs=inputs)
    is_default = report.absolute() == report_path(source, part).absolute()
    in_scores = names.is_run(report.parent) or (report.parent / names.SCORES).is_file()
    if in_scores and report.name in REPORTS.values() and not is_default:
        what = f"'{report}' is the report of other scores than the {part} rows of '{source}'."
        raise UserError(what, fix=outputs.ELSEWHERE)
    if numbers.exists():
        try:
            records.read(numbers, EvaluationRecord)
        except UserError as error:
            what = f"'{numbers}' is no evaluation and would be replaced by the numbers of '{report}'."
            raise UserError(what, fix=outputs.ELSEWHERE) from error


def write_report(evaluation: Evaluation, path: Path) -> Path:
    """Write a report as HTML, and its numbers beside it, see `numbers_path`, which is returned."""
    files.write_text(path, render_report(evaluation))
    records.write(numbers_path(path), evaluation.to_record())
    return numbers_path(path)


def compare(a: str | Path, b: str | Path, data: Sequence[str] = (), *, n_boot: int = 2000) -> Comparison:
    """Compare two sets of scores on the patches that both have: the differences with intervals over cases, and two tests.

    Each is a run, a folder of scores, or a csv with patch_id and score, whose labels are in `data`.
    """
    rows_a, rows_b = (
        evaluator.decide_rows(*read_scores(source, data), combiner=combiner_of(source)) for source in (a, b)
    )
    return comparison.compare(rows_a, rows_b, (Path(a).stem, Path(b).stem), n_boot=n_boot)


def read_scores(source: str | Path, data: Sequence[str] = ()) -> tuple[Scores, Decision | None]:
    """Return the scores and the decision of a run or folder of scores, or those of a csv with the labels of `data`."""
    path = Path(source)
    if path.is_dir():
        _check_finished(path)
        decision = path / names.DECISION
        return table.read(path), records.read(decision, Decision, what="decision") if decision.is_file() else None
    cohorts = read_cohorts(data, TEST)
    patches = [cohort.rows.assign(digest=list(pack_images(cohort).digests)) for cohort in cohorts]
    return table.read(path, patches=pd.concat(patches, ignore_index=True) if patches else None), None


def _check_finished(folder: Path) -> None:
    """Raise a UserError for a run that is not trained completely, and for a folder that is not scored completely."""
    if names.is_run(folder):
        read_finished_run(folder)
    if names.is_ensemble(folder):
        read_ensemble(folder)
    mark = folder / names.UNFINISHED
    if mark.is_file():
        command = files.read_bytes(mark, max_bytes=2**20).decode("utf-8", "replace").strip()
        what = f"The scoring into '{folder}' was stopped: rows of some test sets are missing."
        raise UserError(what, fix=f"{command}, or remove '{mark}' to use those that are there")
