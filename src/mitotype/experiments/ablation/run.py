"""Plan and run an ablation in one folder that can be resumed at any moment.

ablation.json    what is estimated, written first        screen/NN         runs of the screening design, on a few folds
confirm/NAME     the complete recipe and the recipe without one of the strongest ingredients, on all folds
NN and NAME are the folders of runs, and for an ensemble have one for each of its runs.
effects.json, ablation.md, ablation.svg    the result, rewritten when a part of the work is complete
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from mitotype.backbones.adaptations import adaptations
from mitotype.core import files, outputs, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, names, now, read_patches, read_run
from mitotype.core.schema import Cohort
from mitotype.datasets.splits import digest_of_labels
from mitotype.experiments.ablation import combining, report
from mitotype.experiments.ablation.design import plackett_burman
from mitotype.experiments.ablation.effects import (
    Effect,
    decided,
    noise_of_difference,
    noise_of_seeds,
    paired_effect,
    pooled,
    screening_effects,
)
from mitotype.experiments.ablation.ingredient import Ingredient
from mitotype.experiments.ablation.result import AblationRecord, AblationResult, to_record
from mitotype.experiments.ablation.subject import Subject
from mitotype.experiments.ablation.untrained import untrained_members
from mitotype.features import features
from mitotype.fit import run
from mitotype.fit.ensemble_recipe import EnsembleRecipe
from mitotype.fit.folds import assign_folds
from mitotype.fit.member import fit_member
from mitotype.fit.members import MemberPlan, is_complete, plan_members
from mitotype.fit.recipe import Recipe
from mitotype.jobs import executor
from mitotype.jobs.executor import LOCAL
from mitotype.jobs.task import Callbacks, Resources, Task
from mitotype.scores.table import Scores

NAME, EFFECTS, PAGE, PLOT = "ablation.json", "effects.json", "ablation.md", "ablation.svg"
SCREEN, CONFIRM, COMPLETE = "screen", "confirm", "complete"
CONTENTS = (NAME, EFFECTS, PAGE, PLOT, SCREEN, CONFIRM)


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """An ablation of `recipe`, of one run or of an ensemble, on `cohort` into the folder `out`.

    `n_runs` screening runs (8, 12, 20 or 24) are trained with `folds` left out, one seed each; the `strongest` ingredients are
    confirmed with all folds and `seeds` seeds.
    """

    out: Path
    recipe: Recipe | EnsembleRecipe
    cohort: Cohort
    data: Sequence[str] = ()
    hold_out: Sequence[str] = ()
    n_runs: int = 12
    folds: Sequence[int] = (1, 2)
    strongest: int = 3
    seeds: int = 2
    device: str = "auto"
    backend: str = LOCAL
    workers: int = 0
    n_boot: int = 1000
    callbacks: Callbacks = field(default_factory=Callbacks)


def ablate(config: AblationConfig) -> AblationResult:
    """Run an ablation, or continue one that was stopped, and return its result; the files are written as parts complete.

    Raises a UserError for a recipe without two ingredients or with more than the design has columns, and for a folder with
    another ablation.
    """
    subject = Subject(config.recipe).changed(lambda recipe: replace(recipe, n_final_models=0, ood_flag=0, seeds=1))
    parts = subject.ingredients()
    _check(config, subject, parts)
    is_on_RK = plackett_burman(config.n_runs - 1, config.n_runs)
    with outputs.claimed(config.out, CONTENTS, marker=NAME, inputs=config.data):
        record = AblationRecord(
            name=config.recipe.name,
            recipes=[recipe.to_dict() for recipe in subject.recipes],
            ingredients=[part.name for part in parts],
            is_on=is_on_RK.tolist(),
            folds=list(config.folds),
            strongest=config.strongest,
            seeds=config.seeds,
            digest=digest_of_labels(config.cohort),
            sources=list(config.data),
            started=now(),
        )
        record = _stored(record, config.out / NAME)
        records.write(config.out / NAME, record)
        # Screening
        screened: list[tuple[Subject, Path]] = []
        plans: dict[Path, Sequence[MemberPlan]] = {}
        for number, is_on_K in enumerate(is_on_RK):
            left_out = [part for part, is_on in zip(parts, is_on_K, strict=False) if not is_on]
            # one seed each, a different one, so that noise is not shared
            reduced = subject.without(left_out).changed(lambda recipe: replace(recipe, seeds=config.n_runs))
            screened.append((reduced, config.out / SCREEN / f"{number + 1:02}"))
            members = [MemberPlan(f"fold{fold}-seed{number}", fold, number) for fold in config.folds]
            plans |= dict.fromkeys(_created(config, *screened[-1]), members)
        _train(config, plans)
        screened_scores = {folder.name: reduced.read_scores(folder) for reduced, folder in screened}
        tables = [decided(scores, unit=subject.unit) for scores in screened_scores.values()]
        screened_effects = screening_effects(is_on_RK, tables, record.ingredients, n_boot=config.n_boot)
        result = AblationResult(
            record,
            _machine(next(iter(plans))),
            screened_effects,
            n_fits=sum(map(len, plans.values())),
            untrained=_untrained(screened_scores),
        )
        _write(config.out, result)
        # Confirmation
        strongest = _strongest(parts, screened_effects, config.strongest)
        several = subject.changed(lambda recipe: replace(recipe, seeds=config.seeds))
        complete = (several, config.out / CONFIRM / COMPLETE)
        without = [(several.without([part]), _confirm_dir(config.out, part)) for part in strongest]
        run_dirs = [run_dir for confirmed in (complete, *without) for run_dir in _created(config, *confirmed)]
        _train(config, {run_dir: _all_members(run_dir) for run_dir in run_dirs})
        for run_dir in run_dirs:
            run.resume(run_dir)
        scores_of = {folder.name: reduced.read_scores(folder) for reduced, folder in (complete, *without)}
        rows_of = {name: decided(scores, unit=subject.unit) for name, scores in scores_of.items()}
        scores, rows = scores_of[COMPLETE], rows_of[COMPLETE]
        all_folds = len(set(read_patches(run_dirs[0])["fold"]))
        of_columns = noise_of_difference(
            screened_effects[0].noise,
            n_runs=config.n_runs,
            folds=len(config.folds),
            all_folds=all_folds,
            seeds=config.seeds,
        )
        of_seeds = noise_of_seeds(
            [combining.by_seed(scores_of[name], rows_of[name], config.seeds, unit=subject.unit) for name in scores_of]
        )
        noise = pooled(
            [
                (of_columns, config.n_runs - 1 - len(parts)),
                (of_seeds, len(scores_of) * (config.seeds - 1)),
            ]
        )
        effects = [
            paired_effect(part.name, rows, rows_of[folder.name], n_boot=config.n_boot, noise=noise)
            for part, (_, folder) in zip(strongest, without, strict=True)
        ]
        combined = combining.effects(scores, rows, unit=subject.unit, n_boot=config.n_boot)
        levels = combining.levels(scores, rows, unit=subject.unit, n_boot=config.n_boot)
        result = replace(
            result,
            n_fits=result.n_fits + len(run_dirs) * all_folds * config.seeds,
            untrained=[*result.untrained, *_untrained(scores_of)],
            confirmed=effects,
            combined=combined,
            levels=levels,
        )
        _write(config.out, result)
        return result


def _check(config: AblationConfig, subject: Subject, parts: Sequence[Ingredient]) -> None:
    """Raise a UserError for an ablation that could not be completed."""
    subject.validate()
    if not 2 <= len(parts) < config.n_runs:
        what = f"'{config.recipe.name}' has {len(parts)} ingredients; a design of {config.n_runs} runs takes 2 to {config.n_runs - 1}."
        raise UserError(what, fix="choose a recipe with several ingredients, such as giedziun2025, or --runs 20 or 24")
    for recipe in subject.recipes:
        if recipe.folds == "none" or recipe.backbone in features or adaptations.build(recipe.adaptation).is_solved:
            what = f"The members of '{recipe.name}' ({recipe.adaptation}, folds={recipe.folds}) are not trained by steps on folds."
            raise UserError(what, fix="choose a recipe that is trained by gradients, with folds")
        folds = sorted(set(assign_folds(recipe, config.cohort)))
        if not config.folds or not set(config.folds) <= set(folds):
            raise UserError(
                f"The folds {', '.join(map(str, config.folds))} are not those of the data.",
                allowed=", ".join(map(str, folds)),
            )
    if config.seeds < 1 or config.strongest < 1:
        raise UserError(f"seeds is {config.seeds} and strongest is {config.strongest}.", allowed="1 or more")
    for part in parts:
        subject.without([part]).validate()
    subject.without(parts).validate()


def _strongest(parts: Sequence[Ingredient], effects: Sequence[Effect], count: int) -> list[Ingredient]:
    """Return the ingredients with the largest effects on AUROC, of either sign."""
    order = sorted(range(len(parts)), key=lambda k: -abs(effects[k].difference["auroc"].value or 0.0))
    return [parts[k] for k in order[:count]]


def _confirm_dir(out: Path, part: Ingredient) -> Path:
    return out / CONFIRM / ("without-" + "".join(c if c.isalnum() else "-" for c in part.name.lower()))


def _created(config: AblationConfig, subject: Subject, folder: Path) -> list[Path]:
    """Return the folders of the runs of a subject; they are written unless they are there."""
    run_dirs = subject.run_dirs(folder.absolute())
    for run_dir, recipe in run_dirs.items():
        if not names.is_run(run_dir):
            run.create(
                recipe, config.cohort, run_dir,
                data=config.data, hold_out=config.hold_out, device=config.device, local=config.backend == LOCAL,
            )  # fmt: skip
    return list(run_dirs)


def _all_members(run_dir: Path) -> list[MemberPlan]:
    folds = sorted(set(read_patches(run_dir)["fold"]))
    return [] if names.is_finished(run_dir) else plan_members(Recipe.from_dict(read_run(run_dir).recipe), folds)


def _train(config: AblationConfig, plans: Mapping[Path, Sequence[MemberPlan]]) -> None:
    """Train the members of each run that are not complete."""
    missing = [(folder, plan) for folder, members in plans.items() for plan in members if not is_complete(folder, plan)]
    tasks, workers = [], 1
    for number, (run_dir, plan) in enumerate(missing, 1):
        record = read_run(run_dir)
        workers = max(workers, record.workers)
        progress = LogLine(cell=run_dir.name, job=number, jobs=len(missing))
        resources = Resources(record.device, record.threads)
        tasks.append(Task(run_dir, plan.name, fit_member, (run_dir, plan, progress), resources))
    running = executor.run(tasks, config.backend, config.workers or workers, config.callbacks)
    with closing(running):
        for finished in running:
            if finished.error:
                raise finished.error


def _stored(record: AblationRecord, path: Path) -> AblationRecord:
    """Return the stored record of the same ablation, or the new one. Raises a UserError for another ablation."""
    if not path.is_file():
        return record
    stored = records.read(path, AblationRecord, what="ablation")
    if msgspec.structs.replace(stored, started=record.started, sources=record.sources) != record:
        raise UserError(f"'{path.parent}' contains another ablation.", fix=outputs.OTHER_FOLDER)
    return stored


def _machine(run_dir: Path) -> str:
    record = read_run(run_dir)
    return f"{record.machine.processor}, {record.machine.cores} cores, {record.device}"


def _untrained(scores_of: Mapping[str, Scores]) -> list[str]:
    return [f"{folder}/{member}" for folder, scores in scores_of.items() for member in untrained_members(scores)]


def _write(out: Path, result: AblationResult) -> None:
    files.write_text(out / PLOT, report.plot(result))
    files.write_text(out / PAGE, report.markdown(result, PLOT))
    records.write(out / EFFECTS, to_record(result))
