"""Ablation: what each ingredient of a recipe is worth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mitotype.api.data import Data, source_names
from mitotype.api.ensemble_training import load_any_recipe
from mitotype.api.progress import Progress, log_notes
from mitotype.api.training import read_training_cohort
from mitotype.core.cpu_limit import use_threads
from mitotype.core.interrupts import continued_by
from mitotype.experiments.ablation import report
from mitotype.experiments.ablation.result import AblationResult, to_record
from mitotype.experiments.ablation.run import AblationConfig
from mitotype.experiments.ablation.run import ablate as run_ablation
from mitotype.fit.ensemble_recipe import EnsembleRecipe
from mitotype.fit.recipe import Recipe
from mitotype.jobs.executor import LOCAL
from mitotype.jobs.task import Callbacks

__all__ = ["AblationResult", "ablate", "page_text", "to_record"]


def ablate(
    recipe: str | os.PathLike[str] | Recipe | EnsembleRecipe,
    data: Data,
    out: str | Path,
    *,
    hold_out: Sequence[str] = (),
    settings: Sequence[str] = (),
    backbones: Sequence[str] = (),
    n_runs: int = 12,
    folds: Sequence[int] = (1, 2),
    strongest: int = 3,
    seeds: int = 2,
    mpp_um: float | None = None,
    device: str = "auto",
    backend: str = LOCAL,
    workers: int = 0,
    n_boot: int = 1000,
    threads: int | None = None,
    quiet: bool = True,
) -> AblationResult:
    """Estimate what each ingredient of a recipe is worth; the same call continues an ablation that was stopped.

    Parameters
    ----------
    recipe : str, Path, Run or Recipe
        Name of a recipe, a run whose recipe is taken, or what `load_recipe` or `load_ensemble_recipe` returns. It has at least
        two ingredients, such as MixUp, an auxiliary loss or a sampler of hard patches. The runs of an ensemble are fitted once
        and compared in every combination.
    data : str, Path, DataFrame, Cohort, or several of these
        Labelled patches, see `read_cohort`; of a published split the training part.
    out : str or Path
        Folder of the ablation: ablation.md, ablation.svg, effects.json, and the runs.
    hold_out : sequence of str, optional
        Published test sets whose slides and images are removed from the training data.
    settings : sequence of str, optional
        Changes of fields of the recipe, such as ``"backbone=efficientnet-lite0"``.
    backbones : sequence of str, optional
        Backbones that replace those of an ensemble recipe.
    n_runs : {8, 12, 20, 24}, default 12
        Runs of the screening design, in each of which about half of the ingredients are left out.
    folds : sequence of int, default (1, 2)
        Folds that the screening runs leave out.
    strongest : int, default 3
        Number of ingredients that are left out alone, with all folds.
    seeds : int, default 2
        Members per fold in that part.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.
    device : str, default "auto"
        Such as ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    backend : str, default "local"
        Where members are trained: ``local``, ``ray``, or the address of a Ray cluster.
    workers : int, default 0
        Members that are trained at once on processors. 0: as many as there are cores for.
    n_boot : int, default 1000
        Bootstrap replicates of the cases for every interval.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    AblationResult
        The effects: screened, confirmed, and of ways to combine the members without a new fit.

    Raises
    ------
    UserError
        For a recipe with fewer than two ingredients or more than the design has columns, and a folder with another ablation.

    See Also
    --------
    benchmark : Train and score many backbones.
    train : Train a recipe into a run folder.

    Notes
    -----
    No test set is opened. The screening is a Plackett–Burman design: every effect is the mean of half of the runs minus that of
    the other half.

    Examples
    --------
    >>> import mitotype
    >>> mitotype.ablate("giedziun2025", "AMi-Br_Benchmark", "ablation")  # doctest: +SKIP
    """
    use_threads(threads)
    chosen = load_any_recipe(recipe, settings, backbones)
    stored = "Finished members and the last checkpoints are stored."
    with continued_by("repeat the command", stored), Progress(quiet=quiet) as progress:
        cohort = read_training_cohort(data, hold_out, mpp_um)
        log_notes(cohort.notes)
        return run_ablation(
            AblationConfig(
                out=Path(out), recipe=chosen, cohort=cohort, data=source_names(data), hold_out=hold_out, n_runs=n_runs,
                folds=folds, strongest=strongest, seeds=seeds, device=device, backend=backend, workers=workers,
                n_boot=n_boot, callbacks=Callbacks(progress.training()),
            )
        )  # fmt: skip


def page_text(result: AblationResult) -> str:
    """Return the page of an ablation as Markdown."""
    return report.markdown(result, "ablation.svg")
