"""Train an ensemble recipe: a run for each member, and the ensemble of them, in one folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from mitotype.api.data import Data, source_names
from mitotype.api.ensembles import Ensemble, make
from mitotype.api.progress import LOGGER, Progress, log_notes
from mitotype.api.training import claimed, find_recipe, load_recipe, read_training_cohort
from mitotype.core import outputs, records
from mitotype.core.cpu_limit import use_threads
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import OccupiedError, exclusive
from mitotype.core.interrupts import continued_by
from mitotype.core.run_layout import EnsemblePlan, names, now, read_plan, read_run
from mitotype.core.schema import Cohort
from mitotype.datasets.splits import digest_of_labels
from mitotype.fit import run as runs
from mitotype.fit.ensemble_recipe import RULES, EnsembleRecipe, from_plan, validate_ensemble_recipe
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed


def load_ensemble_recipe(
    source: str | os.PathLike[str] | EnsembleRecipe, settings: Sequence[str] = (), backbones: Sequence[str] = ()
) -> EnsembleRecipe:
    """Return an ensemble recipe, by its name or that of an ensemble, with fields or backbones changed.

    Parameters
    ----------
    source : str, Path, Ensemble or EnsembleRecipe
        Name of a recipe (see ``mitotype recipes``), the folder of an ensemble that was trained as one, or a recipe.
    settings : sequence of str, optional
        Changes of fields: ``"epochs=5"`` for every member, ``"uni.epochs=5"`` for one, ``"combiner=mean"``.
    backbones : sequence of str, optional
        Backbones that replace those of the recipe, see `EnsembleRecipe.with_backbones`.

    Returns
    -------
    EnsembleRecipe
        The recipes of the members, and how they are combined.

    Raises
    ------
    UserError
        For an unknown name, field or member, and a recipe that is not an ensemble.

    See Also
    --------
    train_ensemble : Train an ensemble recipe.

    Examples
    --------
    >>> import mitotype
    >>> recipe = mitotype.load_ensemble_recipe("ochi2025", ["uni.epochs=5"])
    >>> [member.epochs for member in recipe.members]
    [5, 20, 20, 20]
    """
    recipe = source if isinstance(source, EnsembleRecipe) else find_recipe(source)
    if not isinstance(recipe, EnsembleRecipe):
        raise UserError(
            f"'{recipe.name}' is the recipe of one run.", fix="train it, or name an ensemble such as ochi2025"
        )
    recipe = recipe.with_backbones(backbones) if backbones else recipe
    return recipe.with_settings(settings)


def load_any_recipe(
    source: str | os.PathLike[str] | Recipe | EnsembleRecipe,
    settings: Sequence[str] = (),
    backbones: Sequence[str] = (),
) -> Recipe | EnsembleRecipe:
    """Return the recipe of a run or of an ensemble with fields changed. Raises a UserError for backbones of one run."""
    recipe = source if isinstance(source, Recipe | EnsembleRecipe) else find_recipe(source)
    if isinstance(recipe, EnsembleRecipe):
        return load_ensemble_recipe(recipe, settings, backbones)
    if backbones:
        raise UserError(f"'{recipe.name}' is the recipe of one run.", fix=f"--set backbone={backbones[0]}")
    return load_recipe(recipe, settings)


def train_ensemble(
    recipe: str | os.PathLike[str] | EnsembleRecipe,
    data: Data,
    *,
    backbones: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    mpp_um: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    quiet: bool = True,
) -> Ensemble:
    """Train a run for each member of an ensemble recipe, and combine them. No test set is opened.

    Parameters
    ----------
    recipe : str, Path, Ensemble or EnsembleRecipe
        Name of a recipe, an ensemble whose recipe is repeated, or what `load_ensemble_recipe` returns.
    data : str, Path, DataFrame, Cohort, or several of these
        Labelled patches, see `read_cohort`; of a published split the training part.
    backbones : sequence of str, optional
        Backbones that replace those of the recipe.
    hold_out : sequence of str, optional
        Published test sets whose slides and images are removed from the training data, such as ``"amibr-test"``.
    out : str or Path, optional
        Folder of the ensemble, with a folder for each run inside. Default: the first of runs/NAME, runs/NAME-2 … that is free.
        The same call with the folder of an ensemble that was stopped continues it.
    settings : sequence of str, optional
        Changes of fields, see `load_ensemble_recipe`.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.
    device : str, default "auto"
        Such as ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    Ensemble
        The ensemble; `score`, `evaluate`, `compare` and `bundle` take it as they take a run.

    Raises
    ------
    UserError
        For everything that `train` refuses, a combiner that is not valid, and a folder with another ensemble.

    See Also
    --------
    train : Train a recipe into a run folder.
    ensemble : Combine finished runs.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> ours = ["d4resnet-tiny", "vit-mini8"]
    >>> quick = ["init_from=", "adaptation=full", "epochs=1", "folds=2"]
    >>> both = mitotype.train_ensemble("ochi2025", "cohort", backbones=ours, settings=quick, out="both", device="cpu")
    >>> sorted(both.weights)
    ['d4resnet-tiny', 'vit-mini8']
    """
    use_threads(threads)
    if distributed.world_size() > 1:
        raise UserError("Several processes train one run, not an ensemble of them.", fix="train its members one by one")
    chosen = load_ensemble_recipe(recipe, settings, backbones)
    validate_ensemble_recipe(chosen)
    with _held(Path(out) if out else None, chosen, source_names(data)) as folder, Progress(quiet=quiet) as progress:
        cohort = read_training_cohort(data, hold_out, mpp_um)
        plan = _stored(_plan(chosen, cohort, source_names(data), hold_out, device), folder)
        records.write(folder / names.PLAN, plan)
        for member in chosen.members:
            if not names.is_run(folder / member.name):
                runs.create(
                    member, cohort, folder / member.name, data=plan.sources, hold_out=hold_out, device=device
                )  # fmt: skip
            log_notes(read_run(folder / member.name).notes)
        return _complete(folder, plan, None, progress)


def resume_ensemble(
    folder: Path, *, device: str | None = None, threads: int | None = None, quiet: bool = True
) -> Ensemble:
    """Complete an ensemble whose training was stopped; one that is finished is left unchanged."""
    use_threads(threads)
    plan = read_plan(folder)
    absent = next((name for name in plan.members if not names.is_run(folder / name)), None)
    if absent:
        what = f"The run '{absent}' of '{folder}' was not begun."
        raise UserError(what, fix="repeat the command that trains the ensemble, with the same data")
    with exclusive(folder), Progress(quiet=quiet) as progress:
        return _complete(folder, plan, device, progress)


def _complete(folder: Path, plan: EnsemblePlan, device: str | None, progress: Progress) -> Ensemble:
    recipe, stored = from_plan(plan), "Finished members and the last checkpoint are stored."
    run_dirs = [folder / member.name for member in recipe.members]
    with continued_by(f"mitotype resume {shlex.quote(str(folder))}", stored):
        for run_dir in run_dirs:
            runs.resume(run_dir, device=device, on_log=progress.training())
        rules = (recipe.calibration, recipe.threshold, recipe.abstention)
        made = make(run_dirs, folder, recipe.combiner, rules, seed=recipe.members[0].seed)
    LOGGER.info(f"{folder} is finished; next: mitotype evaluate {folder} --part out-of-fold")
    return made


@contextmanager
def _held(out: Path | None, recipe: EnsembleRecipe, data: Sequence[str]) -> Iterator[Path]:
    """Hold the folder of an ensemble that is continued, or a new one, and yield it."""
    if out is not None and names.is_plan(out):
        with exclusive(out):
            yield out
    else:
        with claimed(out, recipe.name, data, (*names.ENSEMBLE_FILES, *(m.name for m in recipe.members))) as folder:
            yield folder


def _plan(
    recipe: EnsembleRecipe, cohort: Cohort, data: Sequence[str], hold_out: Sequence[str], device: str
) -> EnsemblePlan:
    return EnsemblePlan(
        name=recipe.name,
        members={member.name: member.to_dict() for member in recipe.members},
        combiner=recipe.combiner,
        calibration=recipe.calibration,
        threshold=recipe.threshold,
        abstention=recipe.abstention,
        sources=list(data),
        hold_out=list(hold_out),
        digest=digest_of_labels(cohort),
        device=device,
        started=now(),
    )


def _stored(plan: EnsemblePlan, folder: Path) -> EnsemblePlan:
    """Return the stored plan of the same ensemble, or the new one. Raises a UserError for another ensemble."""
    if not names.is_plan(folder):
        return plan
    stored = read_plan(folder)
    free = ["started", "device", "sources", *(RULES if not names.is_finished(folder) else ())]
    if replace(stored, **{name: getattr(plan, name) for name in free}) != plan:
        raise OccupiedError(f"'{folder}' already contains another ensemble.", fix=outputs.OTHER_FOLDER)
    return replace(plan, started=stored.started, sources=stored.sources)
