"""Ensembles of finished runs, from their score tables: made, and given the test rows of their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mitotype.core import files, outputs, records
from mitotype.core.folder_lock import OccupiedError
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
from mitotype.core.schema import TEST, Cohort
from mitotype.scores import run_ensemble, table
from mitotype.scores.run_ensemble import EnsembleCombiner, RunEnsemble
from mitotype.scores.table import Scores


def ensemble(
    runs: Sequence[str | Path],
    out: Path,
    *,
    combiner: str = "mean",
    calibration: str = "",
    threshold: str = "",
    abstention: str = "",
    seed: int = 0,
) -> Path:
    """Combine finished runs into an ensemble in the folder `out`, from their stored scores; no image is read.

    Parameters
    ----------
    runs : folders of finished runs, whose out-of-fold rows are used
    combiner : a spec, see `mitotype combiners`: "mean", "weights(0.7, 0.3)", "stack", "greedy", "sklearn(…)"
    calibration, threshold, abstention : of the ensemble's own decision, which is fitted on its cross-fitted rows; by default the
        rules of the first run

    The same call again returns the ensemble as it is; after a kill it makes it. Raises M001 for a row of a case that a member,
    its initial weights or its teachers were trained on, and a UserError for a folder that contains anything else.
    """
    run_dirs = [Path(run) for run in runs]
    stored = "The runs are unchanged."
    with (
        outputs.claimed(out, names.ENSEMBLE_FILES, marker=names.ENSEMBLE, inputs=runs),
        continued_by("repeat the command", stored),
    ):
        made = run_ensemble.fit(run_dirs, out, combiner, (calibration, threshold, abstention), seed=seed)
        if not names.is_finished(out):
            _write(out, made)
        elif not _is_same(out, made):
            raise OccupiedError(f"'{out}' already contains another ensemble.", fix=outputs.OTHER_FOLDER)
    return out


def _is_same(folder: Path, made: RunEnsemble) -> bool:
    """Return whether the stored ensemble was made of the same rows by the same rules."""
    stored, decision = read_ensemble(folder), records.read(folder / names.DECISION, DecisionRecord, what="decision")
    fields = ("rule", "sources", "rows", "folds", "seed")
    same = all(getattr(stored, name) == getattr(made.record, name) for name in fields)
    return same and decision.rules == made.decision.rules


def _write(folder: Path, made: RunEnsemble) -> None:
    records.write(folder / names.ENSEMBLE, made.record)
    table.write(folder, made.scores)
    files.write_table(folder / names.COMBINED, made.combined)
    records.write(folder / names.DECISION, made.decision)
    files.write_text(folder / names.DONE, now() + "\n")


def combiner_of(source: str | Path) -> EnsembleCombiner | None:
    """Return the combiner of an ensemble; None for a run, a folder of scores and a csv, whose members are averaged."""
    return run_ensemble.read_combiner(Path(source)) if names.is_ensemble(Path(source)) else None


def source_dirs(folder: Path) -> dict[str, Path]:
    """Return the folders of an ensemble's runs by their names. Raises a UserError where one is absent or has changed."""
    record = read_ensemble(folder)
    return {source.name: run_ensemble.check_source(folder, record, source) for source in record.sources}


def has_test_rows(run_dir: Path, cohort: Cohort) -> bool:
    """Return whether every deployed member of a run has scored every image of a test cohort, as it is now."""
    rows = _test_rows(run_dir, cohort)
    if not len(rows.scores):
        return False
    digests = dict(zip(cohort.rows["patch_id"], pack_images(cohort).digests, strict=True))
    stored = dict(zip(rows.patches["patch_id"], rows.patches["digest"], strict=True))
    pairs = rows.scores[["patch_id", "member"]].drop_duplicates()
    return stored == digests and len(pairs) == len(cohort) * len(deployed_members(run_dir, read_run(run_dir)))


def add_test_rows(folder: Path, run_dirs: Mapping[str, Path], cohort: Cohort) -> None:
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
