"""Ensembles of runs: sources read and checked, the combiner fitted, and the stored one applied."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from mitotype.core import files, records, tables
from mitotype.core.errors import UserError
from mitotype.core.run_layout import (
    CombinerRecord,
    CrossFitUnit,
    DecisionRecord,
    EnsembleRecord,
    EnsembleSource,
    names,
    now,
    read_ensemble,
    read_finished_run,
    read_member,
    read_run,
)
from mitotype.core.schema import OUT_OF_FOLD, TEST
from mitotype.scores import decision as decisions
from mitotype.scores import table
from mitotype.scores.combiners import FittedSum, combiners
from mitotype.scores.combiners.rule import FittedCombiner
from mitotype.scores.decision import FOLDS, Decision
from mitotype.scores.ensemble import Combiner, by_source
from mitotype.scores.member_table import by_member
from mitotype.scores.sources import SourceRows, source_rows, weighted
from mitotype.scores.table import Scores
from mitotype.scores.unseen import check_unseen


@dataclass(frozen=True)
class RunEnsemble:
    """An ensemble as it is written: its record, all out-of-fold rows of its members, the combined ones, the decision."""

    record: EnsembleRecord
    scores: Scores
    combined: pd.DataFrame
    decision: Decision


def fit(
    run_dirs: Sequence[Path],
    folder: Path,
    combiner: str,
    rules: tuple[str, str, str],
    *,
    seed: int,
) -> RunEnsemble:
    """Fit a combiner and its decision on the out-of-fold rows that finished runs share. `folder` will hold the ensemble.

    `rules` are the specs of calibration, threshold and abstention; an empty one is that of the first run.

    Raises a UserError for runs that share no patch or differ in a label, and M001 for rows of cases that a member, its initial
    weights or its teachers were trained on, see `check_unseen`.
    """
    rule = combiners.read(combiner)
    names_of_sources = _source_names(run_dirs)
    rule.check_sources(names_of_sources)
    read = [_read_source(run_dir, name) for run_dir, name in zip(run_dirs, names_of_sources, strict=True)]
    scores, dropped = _shared([source for source, _ in read])
    of_runs = [records.read(run_dir / names.DECISION, DecisionRecord, what="decision") for run_dir in run_dirs]
    unit: CrossFitUnit = "domain" if {of_run.fitted_on.unit for of_run in of_runs} == {"domain"} else "case"
    rows = _in_order(source_rows(scores, unit=unit), names_of_sources)
    fitted, logit_N = rule.cross_fit(rows, FOLDS, seed)
    combined = rows.rows[["patch_id", "part", "member_sd", "members", "views"]].assign(logit=logit_N)
    calibration, threshold, abstention = (given or own for given, own in zip(rules, of_runs[0].rules, strict=True))
    own = decisions.fit(
        rows.rows.assign(logit=logit_N),
        calibration=calibration,
        threshold=threshold,
        abstention=abstention,
        unit=unit,
        seed=seed,
    )
    for of_run, (_, patches) in zip(of_runs, read, strict=True):
        own = decisions.with_seen_digests(own, (*patches["digest"], *of_run.digests))
    is_sum = isinstance(fitted, FittedSum)
    record = EnsembleRecord(
        rule=combiner,
        combiner=weighted(rows.sources, fitted.weight_S, fitted.intercept)
        if isinstance(fitted, FittedSum)
        else CombinerRecord("sklearn"),
        sources=[
            _describe(run_dir, name, folder, source.scores, patches)
            for run_dir, name, (source, patches) in zip(run_dirs, names_of_sources, read, strict=True)
        ],
        patches=len(rows.rows),
        atypical=int(rows.label_N.sum()),
        cases=len(np.unique(decisions.case_keys(rows.rows))),
        unit=unit,
        rows=_digest_of_rows(rows),
        predictions=None if is_sum else _digest_of_predictions(fitted, rows),
        folds=FOLDS,
        seed=seed,
        notes=[f"{dropped} out-of-fold patches that not every run has are left out"] if dropped else [],
        versions={} if is_sum else {"scikit-learn": version("scikit-learn")},
        created=now(),
    )
    return RunEnsemble(record, scores, combined, own)


def _source_names(run_dirs: Sequence[Path]) -> list[str]:
    """Return the names of the folders, numbered where several are the same."""
    if not run_dirs:
        raise UserError("No runs are given.", fix="mitotype ensemble RUN RUN --out DIR")
    repeated = [
        run_dir for i, run_dir in enumerate(run_dirs) if run_dir.resolve() in [d.resolve() for d in run_dirs[:i]]
    ]
    if repeated:
        raise UserError(f"The run '{repeated[0]}' is given twice.", fix="name each run once")
    result: list[str] = []
    for run_dir in run_dirs:
        base = "".join(c if c.isascii() and (c.isalnum() or c in "_.+-") else "_" for c in run_dir.resolve().name)
        base = base.lstrip("_.+-")[:80] or "run"
        result.append(next(name for name in (base, *(f"{base}-{i}" for i in range(2, 999))) if name not in result))
    return result


def _read_source(run_dir: Path, name: str) -> tuple[Scores, pd.DataFrame]:
    """Return the out-of-fold rows of a finished run, its members as NAME/member, and all patches that it was trained on."""
    if not names.is_run(run_dir):
        raise UserError(f"'{run_dir}' is no run.", fix="name folders of finished runs")
    read_finished_run(run_dir)
    stored = table.read(run_dir)
    scores = stored.take(part=OUT_OF_FOLD)
    if not len(scores):
        raise UserError(f"The run '{run_dir}' has no out-of-fold rows.", fix="train it with folds")
    pairs = scores.scores[["patch_id", "member"]].drop_duplicates()
    check_unseen(run_dir, pairs.assign(patch_id=pairs["patch_id"].astype(str)).merge(scores.patches, on="patch_id"))
    members = scores.scores["member"]
    renamed = scores.scores.assign(member=members.map({m: f"{name}/{m}" for m in members.unique()}))
    trained = stored.patches[stored.patches["fold"] > 0]
    return Scores.unchecked(scores.patches.drop(columns="fold"), renamed), trained


def _shared(sources: Sequence[Scores]) -> tuple[Scores, int]:
    """Return the rows of the patches that every source has, and the number of the others."""
    patch_ids = [set(source.patches["patch_id"]) for source in sources]
    shared = set.intersection(*patch_ids)
    if not shared:
        raise UserError("The runs share no out-of-fold patch.", fix="train them on the same patches")
    taken = []
    for source in sources:
        rows = source.scores[source.scores["patch_id"].isin(shared)]
        patches = source.patches[source.patches["patch_id"].isin(shared)]
        taken.append(Scores.unchecked(patches.reset_index(drop=True), rows.reset_index(drop=True)))
    return table.merge(taken), len(set.union(*patch_ids)) - len(shared)


def _in_order(rows: SourceRows, sources: list[str]) -> SourceRows:
    """Return the rows with their columns in the order of the runs."""
    column = [rows.sources.index(name) for name in sources]
    return SourceRows(sources, rows.logit_NS[:, column], rows.label_N, rows.case_N, rows.rows)


def _describe(run_dir: Path, name: str, folder: Path, rows: pd.DataFrame, patches: pd.DataFrame) -> EnsembleSource:
    record = read_run(run_dir)
    return EnsembleSource(
        name=name,
        path=Path(os.path.relpath(run_dir.resolve(), folder.resolve())).as_posix(),
        members={path.name: read_member(path).digest for path in names.member_dirs(run_dir)},
        rows=_digest_of_logits(rows),
        datasets=sorted(patches["dataset"].astype(str).unique()),
        hold_out=list(record.data.hold_out),
        notes=list(record.notes),
    )


def _digest_of_logits(rows: pd.DataFrame) -> str:
    """Return the digest of raw rows in the order of their keys."""
    key_N, texts = np.zeros(len(rows), np.int64), []
    for column in table.KEY:
        code, known = table.codes(rows[column])
        key_N = key_N * max(1, len(known)) + code
        texts.append("\n".join(known))
    order = np.argsort(key_N)
    logit_N = rows["logit"].to_numpy("<f8")[order]
    return files.digest_of(*texts, key_N[order].astype("<i8").tobytes(), logit_N.tobytes())


def _digest_of_rows(rows: SourceRows) -> str:
    """Return the digest of what a combiner is fitted on."""
    text = "\n".join([*rows.sources, *map(str, rows.rows["patch_id"]), *map(str, rows.case_N)])
    return files.digest_of(text, rows.logit_NS.astype("<f8").tobytes(), rows.label_N.astype("<f8").tobytes())


def _digest_of_predictions(fitted: FittedCombiner, rows: SourceRows) -> str:
    return files.digest_of(np.round(fitted.combine(rows.logit_NS), 6).astype("<f8").tobytes())


@dataclass(frozen=True)
class EnsembleCombiner:
    """The combiner of a stored ensemble: test rows by the fitted one, out-of-fold rows as they were cross-fitted."""

    folder: Path
    stored: EnsembleRecord
    out_of_fold: pd.DataFrame

    @property
    def record(self) -> CombinerRecord:
        return self.stored.combiner

    def apply(self, scores: Scores) -> pd.DataFrame:
        """Return one row per patch and part, see `Combiner.apply`."""
        is_test = (scores.scores["part"] == TEST).to_numpy()
        parts = []
        if not is_test.all():
            wanted = scores.scores["patch_id"][~is_test].astype(str)
            parts.append(self.out_of_fold[self.out_of_fold["patch_id"].isin(set(wanted))])
        if is_test.any():
            test = scores.take(part=TEST)
            stored = records.convert(self.stored.combiner, Combiner)
            parts.append(stored.apply(test) if self.stored.combiner.weights else self._refitted(test))
        return pd.concat(parts, ignore_index=True)

    def _refitted(self, test: Scores) -> pd.DataFrame:
        """Return the rows of a classifier that is fitted again. Raises a UserError where it is not the same one."""
        sources = [source.name for source in self.stored.sources]
        rows = _in_order(source_rows(table.read(self.folder).take(part=OUT_OF_FOLD), unit=self.stored.unit), sources)
        if _digest_of_rows(rows) != self.stored.rows:
            raise UserError(f"The out-of-fold rows of '{self.folder}' have changed.", fix="make the ensemble again")
        fitted = combiners.read(self.stored.rule).fit(rows, self.stored.seed)
        if _digest_of_predictions(fitted, rows) != self.stored.predictions:
            versions = ", ".join(f"{name} {version}" for name, version in self.stored.versions.items())
            what = f"The classifier of '{self.folder}', fitted again, differs from the one that was evaluated."
            raise UserError(what, fix=f"install {versions}, or make the ensemble again")
        wide = by_member(test)
        logit_NS, present = by_source(wide.logit_NM, wide.members)
        logit_N = fitted.combine(logit_NS[:, [present.index(name) for name in sources]])
        return wide.combined(logit_N, Combiner().combine(wide.logit_NM, wide.members)[1])


def read_combiner(folder: Path) -> EnsembleCombiner:
    """Return the combiner of the ensemble in `folder`."""
    text, numbers = ("patch_id", "part"), ("logit", "member_sd", "members", "views")
    rows = tables.read_stored(folder / names.COMBINED, text, numbers, what="table of combined scores")
    return EnsembleCombiner(folder, read_ensemble(folder), rows)


def check_source(folder: Path, record: EnsembleRecord, source: EnsembleSource) -> Path:
    """Return the folder of a source. Raises a UserError where it is absent or its members are others."""
    run_dir = record.run_dir(folder, source)
    if not names.is_run(run_dir):
        raise UserError(f"The run '{source.name}' of '{folder}' is not at '{run_dir}'.", fix="restore it there")
    if {path.name: read_member(path).digest for path in names.member_dirs(run_dir)} != source.members:
        what = f"The members of '{run_dir}' are not those that '{folder}' was made of."
        raise UserError(what, fix="restore them, or make the ensemble again")
    return run_dir
