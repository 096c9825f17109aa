"""Commands that train: train, resume."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Data, Device, HoldOut, Mpp, Out, Quiet, Settings, Threads, split_names


def train(
    recipe: Annotated[str, typer.Argument(help="a recipe's name; see: mitotype recipes")] = "default",
    data: Data = [],  # noqa: B006 (typer reads the default, nobody writes to it)
    hold_out: HoldOut = None,
    settings: Settings = None,
    from_run: Annotated[Path | None, typer.Option("--from", help="repeat the recipe of a run's run.json")] = None,
    out: Out = None,
    mpp: Mpp = None,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train a recipe into a run folder.

    Only out-of-fold rows are written, no test set is opened.

    Example: mitotype train default --data AMi-Br_Benchmark --out runs/default
    """
    from mitotype.api import training

    output.notice(quiet=quiet)
    training.train(
        from_run or recipe, data, hold_out=split_names(hold_out), settings=settings or (), out=out, mpp_um=mpp,
        device=device, threads=threads, quiet=quiet,
    )  # fmt: skip


def resume(
    run: Annotated[Path, typer.Argument(help="folder of a run")],
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
    from mitotype.api import training

    output.notice(quiet=quiet)
    training.resume(run, device=device, threads=threads, quiet=quiet)
