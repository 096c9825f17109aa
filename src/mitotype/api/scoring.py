"""Score test sets, evaluate scores, compare two sets of scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import msgspec
import pandas as pd

from mitotype.api.data import Data, read_cohorts, source_names
from mitotype.api.evaluations import Comparison, Evaluation, numbers_path
from mitotype.api.progress import Progress
from mitotype.api.score_folder import ScoreFolder
from mitotype.core import files, outputs, records
from mitotype.core.cpu_limit import use_threads
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import (
    EnsembleRecord,
    EnsembleSource,
    EvaluationRecord,
    names,
    read_ensemble,
    read_finished_run,
    read_ledger,
    read_run,
)
from mitotype.core.run_layout.evaluation import About
from mitotype.core.schema import OUT_OF_FOLD, TEST
from mitotype.datasets import overlaps, published
from mitotype.evaluation import compare as comparison
from mitotype.evaluation import evaluator
from mitotype.scores import run_ensemble, table
from mitotype.scores.decision import Decision
from mitotype.scores.run_ensemble import EnsembleCombiner
from mitotype.scores.table import Scores

ScoreSource: TypeAlias = "str | os.PathLike[str] | pd.DataFrame"
REPORTS = {TEST: names.REPORT, OUT_OF_FOLD: names.REPORT_OUT_OF_FOLD}


def score(
    source: str | os.PathLike[str],
    data: Data,
    *,
    out: str | Path | None = None,
    mpp_um: float | None = None,
    device: str = "cpu",
    threads: int | None = None,
    quiet: bool = True,
) -> ScoreFolder:
    """Score test data with a run, bundle or ensemble: one raw logit per patch, member and view.

    Parameters
    ----------
    source : str, Path, Run or Ensemble
        Folder of a finished run, of an ensemble or of a bundle, or name of a bundle that ships with the package.
    data : str, Path, DataFrame, Cohort, or several of these
        Test data, see `read_cohort`; of a published split the test part is scored.
    out : str or Path, optional
        Folder for the rows. Default: the own folder of the run or ensemble, for a bundle ``scores/NAME``.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.
    device : str, default "cpu"
        ``cpu``, ``cuda``, ``cuda:1`` … or ``auto``.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    ScoreFolder
        The folder, and the number of patches by test set.

    Raises
    ------
    UserError
        For images that the classifier was trained on (M004), cases that the training data of a run share (M001; a bundle has
        the digests of its images only), a folder with the scores of another classifier, and data that cannot be read.

    See Also
    --------
    evaluate : Evaluate scores.
    classify : Classify images without keeping logits.

    Notes
    -----
    Every opening of a test set is written into the ledger of the folder before its rows. The scores of each test set are
    stored as soon as it is complete. An ensemble is scored by those of its runs that have no rows of the data yet; its rows are
    always in its own folder.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> folder = mitotype.score("morphology", "cohort", out="scores")
    >>> folder.to_frame().columns[:6].tolist()
    ['patch_id', 'part', 'fold', 'member', 'view', 'logit']
    """
    from mitotype.api import score_cohorts  # torch, without which scores are evaluated and compared

    use_threads(threads)
    is_ensemble = names.is_ensemble(Path(source))
    score_with = score_cohorts.score_with_ensemble if is_ensemble else score_cohorts.score_with_classifier
    with Progress(quiet=quiet) as progress:
        n_patches, folder = score_with(
            os.fspath(source), data, out=Path(out) if out else None, mpp_um=mpp_um, device=device, threads=threads,
            progress=progress,
        )  # fmt: skip
    return ScoreFolder(folder, n_patches)


def evaluate(
    source: ScoreSource,
    data: Data = (),
    *,
    part: str = TEST,
    n_boot: int = 2000,
    threads: int | None = None,
    command: str = "",
) -> Evaluation:
    """Evaluate scores: metrics with intervals over cases, per dataset and domain.

    Parameters
    ----------
    source : str, Path, Run, Ensemble, ScoreFolder or DataFrame
        A run, an ensemble, a folder of scores, or a csv or parquet file or data frame with the columns ``patch_id`` and ``score`` (a
        probability of atypical, or a logit if some are negative; ``probability`` and ``logit`` are accepted too), and
        optionally ``label``, ``case_id``, ``domain``, ``dataset``. A data frame without ``patch_id`` is a test set of its own.
    data : str, Path, DataFrame, Cohort, or several of these, optional
        The labels of a table without them, see `read_cohort`.
    part : {"test", "out-of-fold"}, default "test"
        Rows to evaluate.
    n_boot : int, default 2000
        Bootstrap replicates over cases.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    command : str, default ""
        Command to print on the report.

    Returns
    -------
    Evaluation
        The numbers; `Evaluation.write_report` writes the report.

    Raises
    ------
    UserError
        For rows that are absent or wrong, scores without labels, and leaks between training and test (M001 …).

    See Also
    --------
    compare : Compare two sets of scores.
    score : Score test data with a run or bundle.

    Examples
    --------
    >>> import mitotype, pandas as pd
    >>> scores = pd.DataFrame({"score": [0.9, 0.8, 0.3, 0.1], "label": ["AMF", "NMF", "AMF", "NMF"]})
    >>> mitotype.evaluate(scores, n_boot=100).entries[0].confusion
    Confusion(tp=1, fn=1, fp=1, tn=1)
    """
    use_threads(threads)
    if part not in REPORTS:
        raise UserError(f"There is no part '{part}'.", allowed=", ".join(REPORTS))
    name = _name(source, "scores")
    if source_names(data) and not isinstance(source, pd.DataFrame) and Path(source).is_dir():
        what = f"'{name}' has scores and labels of its own; the data beside it would not be read."
        raise UserError(what, fix=f"mitotype score {name} --on DATA, then mitotype evaluate {name}")
    scores, decision = read_scores(source, data)
    if not (scores.scores["part"] == part).any():
        fix = f"mitotype score {name} --on TESTDATA" if part == TEST else "train it with folds"
        if isinstance(source, pd.DataFrame) or Path(source).is_file():
            fix = f"give the rows of {part} in a column part"
        raise UserError(f"'{name}' has no {part} rows.", fix=fix)
    known = overlaps.known_overlaps(scores.patches["dataset"].astype(str).unique())
    if isinstance(source, pd.DataFrame):
        about = About(title=name, command=command, overlaps=known)
        evaluation = evaluator.evaluate(scores, decision, part=part, n_boot=n_boot, about=about)
        return Evaluation.of(evaluation.with_published(published.results()))
    path = Path(source)
    run = read_run(path) if names.is_run(path) else None
    held_out, notes = _held_out_and_notes(path)
    about = About(
        title=f"{path.name}: {part}",
        command=command,
        openings=[str(opening) for opening in read_ledger(path)],
        digests={"training images": run.data.digest, "split": run.split.digest} if run else {},
        overlaps=known,
        held_out=held_out,
    )
    combiner = combiner_of(source)
    evaluation = evaluator.evaluate(scores, decision, combiner=combiner, part=part, n_boot=n_boot, about=about)
    evaluation = msgspec.structs.replace(evaluation, notes=list(dict.fromkeys([*evaluation.notes, *notes])))
    return Evaluation.of(evaluation.with_published(published.results()))


def _held_out_and_notes(folder: Path) -> tuple[list[str], list[str]]:
    """Return the test sets that a run, or all runs of an ensemble, held out, and their notes; nothing of a folder of scores."""
    if names.is_run(folder):
        run = read_run(folder)
        return run.data.hold_out, run.notes
    if names.is_ensemble(folder):
        ensemble = read_ensemble(folder)
        return _held_out(ensemble), [*(note for source in ensemble.sources for note in source.notes), *ensemble.notes]
    return [], []


def _held_out(ensemble: EnsembleRecord) -> list[str]:
    """Return the test sets that a source held out, if each other source did or was trained on nothing that overlaps them."""

    def is_clean(source: EnsembleSource, test: str) -> bool:
        return test in source.hold_out or test not in overlaps.known_overlaps([*source.datasets, test])

    named = dict.fromkeys(test for source in ensemble.sources for test in source.hold_out)
    return [test for test in named if all(is_clean(source, test) for source in ensemble.sources)]


def _name(source: ScoreSource, default: str) -> str:
    return default if isinstance(source, pd.DataFrame) else os.fspath(source)


def report_path(source: str | os.PathLike[str], part: str = TEST) -> Path:
    """Return the default path of a report: in the folder of the scores, or beside a csv and named after it."""
    path = Path(source)
    return path / REPORTS[part] if path.is_dir() else path.with_name(f"{path.stem}.{REPORTS[part]}")


def check_report(report: Path, source: str | os.PathLike[str], data: Data = (), part: str = TEST) -> None:
    """Check, before the work, that a report and its numbers can be written and replace nothing but an evaluation."""
    path, numbers = Path(source), numbers_path(report)
    inputs = [*source_names(data), *([] if path.is_dir() else [str(path)])]
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


def compare(
    a: ScoreSource, b: ScoreSource, data: Data = (), *, n_boot: int = 2000, threads: int | None = None
) -> Comparison:
    """Compare two sets of scores on the patches that both have: paired differences with intervals over cases.

    Parameters
    ----------
    a, b : str, Path, Run, Ensemble, ScoreFolder or DataFrame
        Two sources of scores, see `evaluate`. Rows of data frames without ``patch_id`` are matched by their position.
    data : str, Path, DataFrame, Cohort, or several of these, optional
        The labels of tables without them, see `read_cohort`.
    n_boot : int, default 2000
        Paired bootstrap replicates over cases.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.

    Returns
    -------
    Comparison
        The metrics of both, and their differences b - a with intervals and p-values.

    Raises
    ------
    UserError
        For sources that share no labelled patch or disagree on a label, and for rows that are absent or wrong.

    See Also
    --------
    evaluate : Evaluate scores.

    Examples
    --------
    >>> import mitotype, pandas as pd
    >>> rows = pd.DataFrame({"label": [1, 0, 1, 0], "case_id": ["a", "a", "b", "b"]})
    >>> a, b = rows.assign(score=[0.9, 0.8, 0.3, 0.1]), rows.assign(score=[0.9, 0.2, 0.7, 0.1])
    >>> mitotype.compare(a, b, n_boot=100).sets[0].difference["balanced_accuracy"].value
    0.5
    """
    use_threads(threads)
    rows_a, rows_b = (
        evaluator.decide_rows(*read_scores(source, data), combiner=combiner_of(source)) for source in (a, b)
    )
    shown = (Path(_name(a, "a")).stem, Path(_name(b, "b")).stem)
    return Comparison.of(comparison.compare(rows_a, rows_b, shown, n_boot=n_boot))


def read_scores(source: ScoreSource, data: Data = ()) -> tuple[Scores, Decision | None]:
    """Return the scores and the decision of a run or folder of scores, or those of a table with the labels of `data`."""
    if not isinstance(source, pd.DataFrame) and Path(source).is_dir():
        path = Path(source)
        _check_finished(path)
        decision = path / names.DECISION
        return table.read(path), records.read(decision, Decision, what="decision") if decision.is_file() else None
    cohorts = read_cohorts(data, TEST)
    packed = [cohort.rows.assign(digest=list(pack_images(cohort).digests)) for cohort in cohorts]
    patches = pd.concat(packed, ignore_index=True) if packed else None
    if isinstance(source, pd.DataFrame):
        return table.from_frame(source, patches=patches), None
    return table.read(Path(source), patches=patches), None


def combiner_of(source: ScoreSource) -> EnsembleCombiner | None:
    """Return the combiner of an ensemble; None for a run, a folder of scores and a table, whose members are averaged."""
    if isinstance(source, pd.DataFrame) or not names.is_ensemble(Path(source)):
        return None
    return run_ensemble.read_combiner(Path(source))


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
