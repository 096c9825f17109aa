"""Ablation: what each ingredient of a recipe is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mitotype.api.training import load_recipe, read_training_cohort
from mitotype.core.interrupts import continued_by
from mitotype.experiments.ablation.run import AblationConfig, AblationResult
from mitotype.experiments.ablation.run import ablate as run_ablation
from mitotype.fit.recipe import Recipe
from mitotype.jobs.executor import LOCAL
from mitotype.jobs.task import Callbacks


def ablate(
    recipe: str | Recipe,
    data: Sequence[str],
    out: Path,
    *,
    hold_out: Sequence[str] = (),
    settings: Sequence[str] = (),
    n_runs: int = 12,
    folds: Sequence[int] = (1, 2),
    strongest: int = 3,
    seeds: int = 2,
    mpp_um: float | None = None,
    device: str = "auto",
    backend: str = LOCAL,
    workers: int = 0,
    n_boot: int = 1000,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 (frozen)
) -> AblationResult:
    """Estimate what each ingredient of a recipe is worth; the same call continues an ablation that was stopped.

    `n_runs` screening runs leave out `folds` in turn; the `strongest` ingredients are confirmed by leaving out each alone, with
    all folds and `seeds` seeds. No test set is opened. See `mitotype ablate --help` and `experiments.ablation`.
    """
    loaded = load_recipe(recipe, settings) if isinstance(recipe, str) else recipe
    config = AblationConfig(
        out=out, recipe=loaded, cohort=read_training_cohort(data, hold_out, mpp_um), data=data, hold_out=hold_out,
        n_runs=n_runs, folds=folds, strongest=strongest, seeds=seeds, device=device, backend=backend, workers=workers,
        n_boot=n_boot, callbacks=callbacks,
    )  # fmt: skip
    with continued_by("repeat the command", "Finished members and the last checkpoints are stored."):
        return run_ablation(config)
