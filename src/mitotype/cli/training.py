"""Commands that train: train, resume."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Data, Device, HoldOut, Mpp, Out, Settings, split_names


def train(
    recipe: Annotated[str, typer.Argument(help="a recipe's name; see: mitotype recipes")] = "default",
    data: Data = [],  # noqa: B006 (typer reads the default, nobody writes to it)
    hold_out: HoldOut = None,
    settings: Settings = None,
    from_run: Annotated[Path | None, typer.Option("--from", help="repeat the recipe of a run's run.json")] = None,
    out: Out = None,
    mpp: Mpp = None,
    device: Device = "auto",
) -> None:
    """Train a recipe into a run folder.

    Only out-of-fold rows are written, no test set is opened.

    Example: mitotype train default --data AMi-Br_Benchmark --out runs/default
    """
    from mitotype.api import training
    from mitotype.core.run_layout import read_run
    from mitotype.fit.train import distributed

    output.notice()
    changed = training.load_recipe(from_run or recipe, settings or ())

    def notes(run_dir: Path) -> None:
        if distributed.is_main_process():
            output.notes(read_run(run_dir).notes)

    with output.ProgressDisplay() as display:
        run_dir = training.train(
            changed, data, hold_out=split_names(hold_out), out=out, mpp_um=mpp, device=device,
            on_log=output.log_training(display), on_created=notes,
        )  # fmt: skip
    _next(run_dir)


def resume(
    run: Annotated[Path, typer.Argument(help="folder of a run")],
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1 …; default: that on which the run was begun")
    ] = None,
) -> None:
    """Complete a run that was stopped.

    The numbers are the same as without the stop, unless the device or the libraries are others.

    Example: mitotype resume runs/default
    """
    from mitotype.api import training

    output.notice()
    with output.ProgressDisplay() as display:
        training.resume(run, device=device, on_log=output.log_training(display))
    _next(run)


def _next(run_dir: Path) -> None:
    from mitotype.fit.train import distributed

    if distributed.is_main_process():
        output.info(f"{run_dir} is finished; next: mitotype evaluate {run_dir} --part out-of-fold")
