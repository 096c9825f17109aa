"""Commands that train: train, resume."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import (
    Backbones,
    Data,
    Device,
    HoldOut,
    Mpp,
    Out,
    Quiet,
    Settings,
    Threads,
    split_names,
)


def train(
    recipe: Annotated[str, typer.Argument(help="a recipe's name; see: mitotype recipes")] = "default",
    data: Data = [],  # noqa: B006 (typer reads the default, nobody writes to it)
    hold_out: HoldOut = None,
    settings: Settings = None,
    backbones: Backbones = None,
    from_run: Annotated[Path | None, typer.Option("--from", help="repeat the recipe of a run or ensemble")] = None,
    out: Out = None,
    mpp: Mpp = None,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train a recipe into a run folder.

    Only out-of-fold rows are written, no test set is opened. A recipe of several runs, such as ochi2025, has a folder for each
    and becomes an ensemble; --set uni.epochs=5 changes a field of one of them.

    Example: mitotype train default --data AMi-Br_Benchmark --out runs/default
    """
    from mitotype.api import ensemble_training, training

    output.notice(quiet=quiet)
    chosen = ensemble_training.load_any_recipe(from_run or recipe, settings or (), backbones or ())
    if isinstance(chosen, ensemble_training.EnsembleRecipe):
        ensemble_training.train_ensemble(
            chosen,
            data,
            hold_out=split_names(hold_out),
            out=out,
            mpp_um=mpp,
            device=device,
            threads=threads,
            quiet=quiet,
        )
        return
    training.train(
        chosen, data, hold_out=split_names(hold_out), out=out, mpp_um=mpp, device=device, threads=threads, quiet=quiet
    )


def resume(
    run: Annotated[Path, typer.Argument(help="folder of a run, or of an ensemble that is trained")],
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1 …; default: that on which the run was begun")
    ] = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Complete a run that was stopped.

    The numbers are the same as without the stop, unless the device or the libraries are others.

    Example: mitotype resume runs/default
    """
    from mitotype.api import ensemble_training, training
    from mitotype.core.run_layout import names

    output.notice(quiet=quiet)
    if names.is_plan(run):
        ensemble_training.resume_ensemble(run, device=device, threads=threads, quiet=quiet)
        return
    training.resume(run, device=device, threads=threads, quiet=quiet)
