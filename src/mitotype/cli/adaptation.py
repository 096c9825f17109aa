"""Commands on a laboratory's own labels: adapt."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Data, Device, Json, Mpp, NBoot, Quiet, Threads


def adapt(
    bundle: Annotated[str, typer.Argument(help="folder of a bundle, or a shipped bundle's name")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="folder of the new bundle")],
    name: Annotated[str, typer.Option(help="name of the new bundle")] = "",
    mpp: Mpp = None,
    device: Device = "cpu",
    n_boot: NBoot = 2000,
    as_json: Json = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Adapt a bundle's decision to your labels.

    Calibration and threshold from 50 to 200 labelled figures, with the difference that it makes, cross-fitted by case.

    Example: mitotype adapt default --data my-labels.csv --out my-bundle
    """
    from mitotype.api import adaptation

    output.notice(quiet=quiet)
    adapted = adaptation.adapt(
        bundle, data, out, name=name, mpp_um=mpp, device=device, n_boot=n_boot, threads=threads, quiet=quiet
    )
    output.print_json(adapted.labels) if as_json else output.show(str(adapted))
    if not adapted.is_decisive:
        output.info("these labels do not show whether the adapted decision is better or worse")
    output.info(f"open {out / 'card.md'}; use it: mitotype classify IMAGES --bundle {out}")
