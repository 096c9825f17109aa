"""Fit one member of a run, and score the fold that it leaves out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import msgspec

from mitotype.backbones.adaptations import adaptations
from mitotype.core import records
from mitotype.core.run_layout import LogLine, OnLog, names
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.features import features
from mitotype.fit import descriptors, environment, gradient, lineage, probe
from mitotype.fit.context import MemberContext, load_run
from mitotype.fit.members import MemberPlan, is_fitted, is_scored
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed
from mitotype.scores import table


def fit_member(run_dir: Path, plan: MemberPlan, progress: LogLine, on_log: OnLog = lambda line: None) -> None:
    """Fit a member unless it is there, and append its out-of-fold rows unless they are. Doing it twice changes nothing.

    The cell and number of job in `progress` are added to every log line, which is appended to log.jsonl and passed to `on_log`.
    Epochs that are trained again after a kill are the same, and are not appended again.
    """
    logged = {(line.member, line.epoch) for line in records.read_lines(run_dir / names.LOG, LogLine, what="log")}

    def log(line: LogLine) -> None:
        line = msgspec.structs.replace(line, cell=progress.cell, job=progress.job, jobs=progress.jobs)
        if (line.member, line.epoch) not in logged:
            records.append(run_dir / names.LOG, line)
        on_log(line)

    run = load_run(run_dir)
    device = distributed.local_device(run.record.device)
    fitter = _fitter(run.recipe)
    is_main = distributed.is_main_process()
    needs_fit = not is_fitted(run_dir, plan) and (fitter is gradient or is_main)
    needs_scores = is_main and not is_scored(run_dir, plan)
    if needs_fit or (needs_scores and fitter is probe):
        lineage.check_sources_unchanged(run.record, run.recipe, plan, run.cohort)
    if needs_fit or needs_scores:
        environment.resolve_device(device)
    context = MemberContext(run, plan, device, log)
    with environment.explain_out_of_memory(run.recipe, device):
        if needs_fit:
            fitter.fit(context)
        if needs_scores:
            patches = run.cohort.rows[~context.is_train_N].reset_index(drop=True)
            logits = fitter.predict(context)
            rows = table.member_rows(
                list(patches["patch_id"]), logits, part=OUT_OF_FOLD, fold=plan.fold, member=plan.name
            )
            table.append(run_dir, table.Scores(patches, rows))


def _fitter(recipe: Recipe) -> ModuleType:
    """Return the module with the `fit` and `predict` of a recipe's members."""
    if recipe.backbone in features:
        return descriptors
    return probe if adaptations.build(recipe.adaptation).is_solved else gradient
