"""Train a recipe into a run folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mitotype.api.data import Data, as_sources, read_cohort, source_names
from mitotype.api.progress import LOGGER, Progress, log_notes
from mitotype.api.runs import Run
from mitotype.core import outputs, walk
from mitotype.core.cpu_limit import use_threads
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import OccupiedError
from mitotype.core.interrupts import continued_by
from mitotype.core.run_layout import names, read_run
from mitotype.core.schema import Cohort
from mitotype.datasets import overlaps, splits
from mitotype.fit import recipe as recipe_files
from mitotype.fit import run as runs
from mitotype.fit.ensemble_recipe import EnsembleRecipe, read_ensemble_recipe
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed
from mitotype.fit.validate import validate_recipe
from mitotype.recipes import recipes


def load_recipe(source: str | os.PathLike[str] | Recipe = "default", settings: Sequence[str] = ()) -> Recipe:
    """Return a recipe, by its name or that of a run, with fields changed.

    Parameters
    ----------
    source : str, Path, Run or Recipe, default "default"
        Name of a recipe (see ``mitotype recipes``), a run or its run.json, or a recipe.
    settings : sequence of str, optional
        Changes of fields, such as ``"epochs=5"``.

    Returns
    -------
    Recipe
        A frozen record of everything that determines a run, besides its data.

    Raises
    ------
    UserError
        For an unknown name or field, and a value that a field does not accept.

    See Also
    --------
    train : Train a recipe into a run folder.

    Examples
    --------
    >>> import mitotype
    >>> mitotype.load_recipe("demo", ["epochs=5"]).epochs
    5
    """
    recipe = source if isinstance(source, Recipe) else find_recipe(source)
    if isinstance(recipe, EnsembleRecipe):
        what = f"'{recipe.name}' is an ensemble of {len(recipe.members)} recipes."
        raise UserError(what, fix="mitotype train NAME, or train_ensemble in Python")
    return recipe_files.with_settings(recipe, settings)


def find_recipe(source: str | os.PathLike[str]) -> Recipe | EnsembleRecipe:
    """Return a recipe by its name, or that of a run."""
    path = Path(source)
    if isinstance(source, str) and (source in recipes or not walk.exists(path)):
        return recipes.get(source)()
    return read_ensemble_recipe(path) if names.is_plan(path) else recipe_files.read_recipe(path)


def train(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    *,
    hold_out: Sequence[str] = (),
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    mpp_um: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    quiet: bool = True,
) -> Run:
    """Train a recipe on the training part of data. No test set is opened.

    Parameters
    ----------
    recipe : str, Path, Run or Recipe
        Name of a recipe (see ``mitotype recipes``), a run whose recipe is repeated, or what `load_recipe` returns.
    data : str, Path, DataFrame, Cohort, or several of these
        Labelled patches, see `read_cohort`; of a published split the training part.
    hold_out : sequence of str, optional
        Published test sets whose slides and images are removed from the training data, such as ``"amibr-test"``.
    out : str or Path, optional
        Folder of the run. Default: the first of runs/NAME, runs/NAME-2 … that is free.
    settings : sequence of str, optional
        Changes of fields of the recipe, such as ``"epochs=5"``.
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
    Run
        The finished run: members, out-of-fold scores, decision.

    Raises
    ------
    UserError
        For data without labels, of one class or without a column that the recipe needs, a folder that contains a run, a recipe
        that is not valid, and weights that are absent.

    See Also
    --------
    resume : Complete a run that was stopped.
    score : Score test data with a run.
    bundle : Make a bundle of a run.

    Notes
    -----
    A run that was stopped is completed by `resume`, to the same numbers. No other process trains in the folder meanwhile. Where
    several processes were launched together to train one run, the first one writes.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> run = mitotype.train("morphology", "cohort", out="run", settings=["folds=2"])
    >>> run.is_finished, run.recipe.folds
    (True, '2')
    """
    use_threads(threads)
    chosen = load_recipe(recipe, settings)
    validate_recipe(chosen)
    if distributed.world_size() > 1 and out is None:
        raise UserError("Several processes train one run, and its folder is not given.", fix="add --out runs/NAME")
    inputs = source_names(data)
    with claimed(Path(out) if out else None, chosen.name, inputs) as run_dir, Progress(quiet=quiet) as progress:
        if distributed.is_main_process():
            cohort = read_training_cohort(data, hold_out, mpp_um)
            runs.create(chosen, cohort, run_dir, data=inputs, hold_out=hold_out, device=device)
        distributed.wait_for(run_dir / names.RUN)
        if distributed.is_main_process():
            log_notes(read_run(run_dir).notes)
        return _complete(run_dir, None, progress)


def resume(
    run: str | os.PathLike[str], *, device: str | None = None, threads: int | None = None, quiet: bool = True
) -> Run:
    """Complete a run that was stopped; one that is finished is left unchanged.

    Parameters
    ----------
    run : str, Path or Run
        The folder of the run.
    device : str, optional
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` … Default: that on which the run was begun.
    threads : int, optional
        Threads to read images with. The threads of a run are those that it was begun with.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    Run
        The finished run. Its numbers are the same as without the stop, unless the device or the libraries are others.

    Raises
    ------
    UserError
        For a folder that is no run, one that another process trains in, and images that have changed.

    See Also
    --------
    train : Train a recipe into a run folder.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> run = mitotype.train("morphology", "cohort", out="run", settings=["folds=2"])
    >>> mitotype.resume("run") == run
    True
    """
    use_threads(threads)
    with Progress(quiet=quiet) as progress:
        return _complete(Path(run), device, progress)


def _complete(run_dir: Path, device: str | None, progress: Progress) -> Run:
    stored = "Finished members and the last checkpoint are stored."
    with continued_by(f"mitotype resume {shlex.quote(str(run_dir))}", stored):
        runs.resume(run_dir, device=device, on_log=progress.training())
    if distributed.is_main_process():
        LOGGER.info(f"{run_dir} is finished; next: {_next(run_dir)}")
    return Run(run_dir)


def _next(run_dir: Path) -> str:
    """Return what a finished run is for: out-of-fold rows are evaluated, others have scores to come or are initial weights."""
    record = read_run(run_dir)
    if record.recipe["folds"] != "none":
        return f"mitotype evaluate {run_dir} --part out-of-fold"
    return (
        f"mitotype score {run_dir} --on TESTDATA"
        if record.reads_labels
        else f"--set init_from={run_dir} in mitotype train"
    )


@contextmanager
def claimed(
    out: Path | None, name: str, data: Sequence[str], contents: Sequence[str] = names.RUN_FILES
) -> Iterator[Path]:
    """Hold `out`, or the first of runs/NAME, runs/NAME-2 … that is free, and yield it."""
    with ExitStack() as stack:
        if out is not None:
            if distributed.is_main_process():
                stack.enter_context(outputs.claimed(out, contents, inputs=data))
            yield out
            return
        for run_dir in outputs.numbered(Path("runs"), name):
            if run_dir.exists() and not (run_dir / names.LOCK).exists():
                continue
            with suppress(OccupiedError):
                stack.enter_context(outputs.claimed(run_dir, contents))
                break
        yield run_dir


def read_training_cohort(data: Data, hold_out: Sequence[str] = (), mpp_um: float | None = None) -> Cohort:
    """Return the training parts of data as one cohort, each figure once, without what overlaps the held-out test sets.

    Its notes name the overlaps that remain with published test sets.
    """
    sources = as_sources(data)
    if not sources:
        fix = "mitotype train default --data FOLDER, or download some: mitotype fetch amibr data"
        raise UserError("No training data are given.", fix=fix)
    cohort = splits.drop_repeated_figures(read_cohort(sources, part="train", mpp_um=mpp_um))
    cohort = overlaps.hold_out(cohort, hold_out) if hold_out else cohort
    return Cohort(cohort.name, cohort.rows, (*cohort.notes, *overlaps.overlap_notes(cohort)))
