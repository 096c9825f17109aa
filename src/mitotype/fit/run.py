"""Create, resume and finalize a run: one experiment in one folder that resumes after a kill; DONE is written last.

run.json          every field of the recipe, versions, machine, digests of data, split and initial weights
patches.parquet   the training patches, with digest and fold       scores.parquet   out-of-fold rows
members/          what was trained, in half precision              log.jsonl        one line per epoch
decision.json     calibration, threshold, abstention, from out-of-fold rows only
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path

import msgspec

from mitotype.core import files, outputs, plugins, records, run_layout
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import exclusive
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import (
    CrossFitUnit,
    DataRecord,
    LogLine,
    OnLog,
    PluginRecord,
    RunRecord,
    SplitRecord,
    names,
)
from mitotype.core.schema import Cohort
from mitotype.datasets import splits
from mitotype.fit import environment, lineage, ood, target_images, targets
from mitotype.fit.context import RunContext, load_run, required_px
from mitotype.fit.folds import assign_folds
from mitotype.fit.member import fit_member
from mitotype.fit.members import is_complete, plan_members
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed
from mitotype.fit.validate import resolve_recipe, validate_recipe
from mitotype.jobs.local import run_local
from mitotype.jobs.task import Callbacks, Task
from mitotype.losses import Objective
from mitotype.scores import decision, ensemble, table

UNTRAINED = "no loss reads the logit: the scores are of a head that was not trained, and the run is for init_from"


def start(
    recipe: Recipe, cohort: Cohort, run_dir: Path, *, device: str = "auto", on_log: OnLog = lambda line: None
) -> Path:
    """Train `recipe` on a labelled training cohort into a new folder. No test set is opened. See `create`."""
    create(recipe, cohort, run_dir, device=device)
    return resume(run_dir, on_log=on_log)


def create(
    recipe: Recipe,
    cohort: Cohort,
    run_dir: Path,
    *,
    data: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    device: str = "auto",
    local: bool = True,
) -> None:
    """Write everything that determines a run into its folder; nothing is trained yet. The initial weights are located first.

    `local` is False where another machine trains the members: then `device` need not be on this one.
    Raises a UserError for a folder that contains a run, patches without a label, one class only, missing targets of a loss,
    unavailable weights, and everything that `validate_recipe` reports. Then nothing is written.
    """
    with outputs.claimed(run_dir, names.RUN_FILES, inputs=data):
        validate_recipe(recipe)
        recipe = resolve_recipe(recipe)
        _check_labels(cohort)
        objective, reads_labels = Objective(recipe.objective), lineage.uses_labels(recipe)
        targets.check_targets(cohort, objective.terms)
        pack = pack_images(cohort, min_px=required_px(recipe))
        fold = assign_folds(recipe, cohort)
        rows = cohort.rows.assign(digest=list(pack.digests), fold=fold.loc[cohort.rows["patch_id"]].to_numpy())
        if "dataset" not in rows:
            rows = rows.assign(dataset=cohort.name)
        plans = plan_members(recipe, sorted(set(fold)))
        cohort = Cohort(cohort.name, rows, cohort.notes)
        sources = lineage.describe_sources(recipe, plans[0], cohort, lineage.find_base(recipe, plans[0], cohort))
        licenses = lineage.license_notes([sources["base"], *sources["teacher_bases"]])
        fourier_targets = target_images.describe(recipe)
        untrained = [UNTRAINED] if reads_labels and not objective.trains_logit else []
        record = RunRecord(
            recipe=recipe.to_dict(),
            overrides=recipe.overrides(),
            data=DataRecord(
                sources=list(data),
                hold_out=list(hold_out),
                patches=len(rows),
                atypical=int(rows["label"].sum()),
                cases=int(rows["case_id"].nunique()),
                digest=files.digest_of(*sorted(pack.digests)),
            ),
            split=SplitRecord(recipe.folds, splits.digest(fold)),
            base=sources["base"],
            bases={plan.name: lineage.base_digest(recipe, plan, cohort) for plan in plans},
            teachers={plan.name: lineage.teacher_digests(recipe, plan, cohort) for plan in plans},
            reads_labels=reads_labels,
            plugins=[PluginRecord(plugin.path.name, plugin.digest) for plugin in plugins.loaded()],
            fourier_targets=fourier_targets,
            notes=[*cohort.notes, *licenses, *target_images.notes(fourier_targets), *untrained],
            started=run_layout.now(),
            **vars(environment.describe(recipe, device, len(plans), local=local)),
        )
        table.write(run_dir, table.Scores(rows, table.empty()))
        records.write(run_dir / names.RUN, record)


def reopen(run_dir: Path, device: str | None = None) -> None:
    """Write into run.json on what an incomplete run goes on: another device if that is given, other libraries."""
    record = run_layout.read_run(run_dir)
    here = environment.resumed(record, device)
    if here != record:
        records.write(run_dir / names.RUN, here)


def resume(run_dir: Path, *, device: str | None = None, on_log: OnLog = lambda line: None) -> Path:
    """Complete a run from whatever it has, on the device that it was begun on unless another is given.

    One that is DONE is left unchanged. A run that is being trained is refused.

    Where several processes were launched together (`accelerate launch -m mitotype resume RUN`), they train every member
    together, and the first of them writes.
    """
    is_main = distributed.is_main_process()
    if names.is_finished(run_dir):
        return run_dir
    run_layout.read_run(run_dir)
    with exclusive(run_dir) if is_main else nullcontext():
        if names.is_finished(run_dir):
            return run_dir
        if is_main:
            reopen(run_dir, device)
        run = load_run(run_dir)
        plans = plan_members(run.recipe, sorted(set(run.cohort.rows["fold"])))
        tasks = [
            Task(run_dir, plan.name, fit_member, (run_dir, plan, LogLine(job=i, jobs=len(plans))))
            for i, plan in enumerate(plans, 1)
            if not is_complete(run_dir, plan)
        ]
        # A member follows from its own seed and number of threads, so that the number of workers changes nothing.
        workers = run.record.workers if distributed.world_size() == 1 else 1
        with closing(run_local(tasks, workers, Callbacks(on_log))) as outcomes:
            for _, error in outcomes:
                if error:
                    raise error
        if is_main:
            finalize(run)
    return run_dir


def finalize(run: RunContext) -> None:
    """Fit the decision and the out-of-distribution detector on the out-of-fold rows (if there are any), and write DONE."""
    recipe, scores = run.recipe, table.read(run.dir)
    if len(scores.scores):
        rules = {"calibration": recipe.calibration, "threshold": recipe.threshold, "abstention": recipe.abstention}
        unit: CrossFitUnit = "domain" if recipe.folds == "domain" else "case"
        fitted = decision.fit(scores.joined(ensemble.mean_logit(scores)), **rules, unit=unit, seed=recipe.seed)
        fitted = decision.with_seen_digests(fitted, lineage.seen_digests(recipe))
        records.write(run.dir / names.DECISION, fitted)
        if recipe.ood_flag:
            device, fold_N = environment.fallback_device(run.record), run.cohort.rows["fold"].to_numpy()
            ood.fit_ood_detector(run.dir, recipe.seed, device, fold_N, run.image_N3HW)
    finished = run_layout.now()
    records.write(run.dir / names.RUN, msgspec.structs.replace(run.record, finished=finished))
    files.write_text(run.dir / names.DONE, finished + "\n")


def _check_labels(cohort: Cohort) -> None:
    label = cohort.rows["label"]
    if label.isna().any():
        what = f"{int(label.isna().sum())} patches of '{cohort.name}' have no label."
        raise UserError(what, fix="train on labelled patches only")
    if label.nunique() < 2:
        what = f"All {len(label)} patches of '{cohort.name}' are of one class."
        raise UserError(what, fix="train on atypical and normal figures")
