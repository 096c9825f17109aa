"""Score test cohorts with a run, a bundle or an ensemble: rows into a folder, after their opening is in its ledger."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mitotype.api.data import Data, read_cohorts, source_names
from mitotype.api.deployment import open_bundle
from mitotype.api.progress import LOGGER, Progress, log_notes
from mitotype.core import files, outputs, records
from mitotype.core.errors import UserError, WriteError
from mitotype.core.folder_lock import exclusive
from mitotype.core.interrupts import continued_by
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import (
    DecisionRecord,
    Opening,
    append_opening,
    deployed_members,
    names,
    now,
    read_ensemble,
    read_patches,
    read_run,
    read_scores,
)
from mitotype.core.run_layout.training import lineage_patches
from mitotype.core.schema import TEST, Cohort
from mitotype.datasets import overlaps
from mitotype.deploy import predictor
from mitotype.deploy.bundle import find_bundle
from mitotype.deploy.predictor import Predictor
from mitotype.scores import run_ensemble, table
from mitotype.scores.table import Scores


def score_with_classifier(
    source: str,
    data: Data,
    *,
    out: Path | None,
    mpp_um: float | None,
    device: str,
    threads: int | None,
    progress: Progress,
) -> tuple[dict[str, int], Path]:
    """Score with a run or bundle; return the number of patches by test set, and the folder of the rows."""
    source_dir, inputs = find_bundle(source), source_names(data)
    folder = out or (source_dir if names.is_run(source_dir) else Path("scores") / source_dir.name)
    is_own = names.is_run(source_dir) and folder.exists() and folder.samefile(source_dir)
    ledgers = [folder, source_dir] if names.is_run(source_dir) and not is_own else [folder]
    claim = outputs.claimed(folder, names.SCORE_FILES, marker=names.LEDGER, inputs=inputs)
    with exclusive(folder) if is_own else claim:
        opened = open_bundle(source, device=device, threads=threads)
        cohorts = read_cohorts(data, TEST, mpp_um)
        if not is_own:
            _write_decision(folder, opened)
        with _unfinished(folder, source, inputs):
            for cohort in cohorts:
                advance = progress.counter(f"score {cohort.name}", len(cohort))
                score_cohort(opened, cohort, ledgers, on_progress=advance)
                _log_scored(cohort, folder)
    return {cohort.name: len(cohort) for cohort in cohorts}, folder


def score_with_ensemble(
    source: str,
    data: Data,
    *,
    out: Path | None,
    mpp_um: float | None,
    device: str,
    threads: int | None,
    progress: Progress,
) -> tuple[dict[str, int], Path]:
    """Score with every run of an ensemble that has not scored `data` yet, and add the rows of all to those of the ensemble."""
    folder = Path(source)
    if out is not None and not (out.exists() and out.samefile(folder)):
        raise UserError("The rows of an ensemble are added to its own folder.", fix="leave --out out")
    run_dirs = _source_dirs(folder)
    with exclusive(folder):
        cohorts = read_cohorts(data, TEST, mpp_um)
        with _unfinished(folder, source, source_names(data)):
            for run_dir in run_dirs.values():
                missing = [cohort for cohort in cohorts if not _has_test_rows(run_dir, cohort)]
                if missing:
                    with exclusive(run_dir):
                        opened = open_bundle(run_dir, device=device, threads=threads)
                        for cohort in missing:
                            advance = progress.counter(f"score {cohort.name} with {run_dir.name}", len(cohort))
                            score_cohort(opened, cohort, [run_dir], on_progress=advance)
            for cohort in cohorts:
                _add_test_rows(folder, run_dirs, cohort)
                _log_scored(cohort, folder)
    return {cohort.name: len(cohort) for cohort in cohorts}, folder


def _log_scored(cohort: Cohort, folder: Path) -> None:
    log_notes(cohort.notes)
    LOGGER.info(f"{len(cohort)} patches of {cohort.name} scored into {folder}")


def _write_decision(folder: Path, opened: Predictor) -> None:
    """Write the decision beside the rows, before there are any. Raises a UserError for rows of another classifier."""
    decision, path = records.convert(opened.decision, DecisionRecord), folder / names.DECISION
    if path.is_file() and records.read(path, DecisionRecord, what="decision") != decision:
        what = f"'{folder}' contains the scores of another classifier than '{opened.dir}'."
        raise UserError(what, fix=outputs.OTHER_FOLDER)
    records.write(path, decision)


@contextmanager
def _unfinished(folder: Path, source: str, data: Sequence[str]) -> Iterator[None]:
    """Mark the folder while it has rows of some test sets only; after a kill and on a full disk the mark remains."""
    command = shlex.join(["mitotype", "score", source, "--on", *data, "--out", str(folder)])
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

    Raises a UserError for a cohort that shares cases or images with the training data of a run, or of its initial weights.
    """
    if names.is_run(opened.dir):
        overlap = overlaps.find_overlap(lineage_patches(opened.dir), cohort)
        if overlap:
            raise overlap.error()
    scores = predictor.score(opened, cohort, on_progress=on_progress)
    digest = files.digest_of(*sorted(scores.patches["digest"]))[:16]
    opening = Opening(date=now(), model=opened.dir.name, dataset=cohort.name, patches=len(cohort), digest=digest)
    finished = opened.record.run.finished if opened.record.run else None
    for folder in folders:
        append_opening(folder, opening, model_finished=finished or "")
    table.append(folders[0], scores)


def _source_dirs(folder: Path) -> dict[str, Path]:
    """Return the folders of an ensemble's runs by their names. Raises a UserError where one is absent or has changed."""
    record = read_ensemble(folder)
    return {source.name: run_ensemble.check_source(folder, record, source) for source in record.sources}


def _has_test_rows(run_dir: Path, cohort: Cohort) -> bool:
    """Return whether every deployed member of a run has scored every image of a test cohort, as it is now."""
    rows = _test_rows(run_dir, cohort)
    if not len(rows.scores):
        return False
    digests = dict(zip(cohort.rows["patch_id"], pack_images(cohort).digests, strict=True))
    stored = dict(zip(rows.patches["patch_id"], rows.patches["digest"], strict=True))
    pairs = rows.scores[["patch_id", "member"]].drop_duplicates()
    return stored == digests and len(pairs) == len(cohort) * len(deployed_members(run_dir, read_run(run_dir)))


def _add_test_rows(folder: Path, run_dirs: Mapping[str, Path], cohort: Cohort) -> None:
    """Add the rows of every run for a test cohort to those of the ensemble, after the opening is in its ledger."""
    parts = []
    for name, run_dir in run_dirs.items():
        rows = _test_rows(run_dir, cohort)
        scores = rows.scores.assign(member=name + "/" + rows.scores["member"].astype(str))
        parts.append(Scores(rows.patches.drop(columns="fold", errors="ignore"), scores))
    merged = table.merge(parts)
    digest = files.digest_of(*sorted(merged.patches["digest"]))[:16]
    opening = Opening(date=now(), model=folder.name, dataset=cohort.name, patches=len(cohort), digest=digest)
    append_opening(folder, opening, model_finished=read_ensemble(folder).created)
    table.append(folder, merged)


def _test_rows(run_dir: Path, cohort: Cohort) -> Scores:
    """Return the test rows of a run's deployed members for a cohort; none where there are none."""
    members, rows, patches = deployed_members(run_dir, read_run(run_dir)), read_scores(run_dir), read_patches(run_dir)
    wanted = set(cohort.rows["patch_id"])
    is_wanted = (rows["part"] == TEST) & rows["member"].isin(members) & rows["patch_id"].isin(wanted)
    rows = rows[is_wanted].reset_index(drop=True)
    patches = patches[patches["patch_id"].isin(set(rows["patch_id"]))].reset_index(drop=True)
    return Scores(patches, rows)
