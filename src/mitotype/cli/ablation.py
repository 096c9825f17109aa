"""Command on the ingredients of a recipe: ablate."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import (
    Backbones,
    Backend,
    Data,
    Device,
    HoldOut,
    Json,
    Mpp,
    NBoot,
    Quiet,
    Settings,
    Threads,
    Workers,
    split_names,
)
from mitotype.core.errors import UserError


def ablate(
    recipe: Annotated[str, typer.Argument(help="name of a recipe, or the folder of a run")],
    out: Annotated[Path, typer.Option("--out", help="folder of the ablation; one that was stopped is continued")],
    data: Data = [],  # noqa: B006
    hold_out: HoldOut = None,
    settings: Settings = None,
    backbones: Backbones = None,
    runs: Annotated[int, typer.Option(help="screening runs: 12, 20 or 24")] = 12,
    folds: Annotated[str, typer.Option(help="study folds that the screening runs leave out")] = "1,2",
    strongest: Annotated[int, typer.Option(help="ingredients to confirm with all folds")] = 3,
    seeds: Annotated[int, typer.Option(help="seeds of the confirmation")] = 2,
    backend: Backend = "local",
    mpp: Mpp = None,
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
    n_boot: NBoot = 1000,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Estimate what each ingredient is worth.

    A screening design on a few folds, then the strongest ingredients left out one by one on all folds.

    Example: mitotype ablate giedziun2025 --data AMi-Br_Benchmark --set backbone=efficientnet-lite0 --out runs/ablation
    """
    from mitotype.api import ablation

    output.notice(quiet=quiet)
    numbers = folds.split(",")
    if not all(number.strip().isdigit() for number in numbers):
        raise UserError(f"--folds is '{folds}'.", allowed="numbers of folds, as in 1,2")
    result = ablation.ablate(
        recipe, data, out, hold_out=split_names(hold_out), settings=settings or (), backbones=backbones or (), n_runs=runs,
        folds=[int(number) for number in numbers], strongest=strongest, seeds=seeds, mpp_um=mpp, device=device,
        backend=backend, workers=workers, n_boot=n_boot, threads=threads, quiet=quiet,
    )  # fmt: skip
    output.print_json(ablation.to_record(result)) if as_json else output.show(ablation.page_text(result))
    output.info(f"open {out / 'ablation.md'}")
