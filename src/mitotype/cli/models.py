"""Commands on pretrained models and the machine: weights, embed, doctor."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Data, Device, Json, Mpp, Quiet, Threads
from mitotype.core.errors import ErrorCollector, UserError


def weights(
    backbone: Annotated[list[str], typer.Argument(help="backbones; see: mitotype backbones")],
    source: Annotated[
        Path | None, typer.Option("--from", help="a file, or a folder with one, instead of the hub")
    ] = None,
    as_json: Json = False,
) -> None:
    """Download or register pretrained weights.

    They are checked to fit their nets, and are then available without a network.

    Example: mitotype weights h-optimus-0
    """
    from mitotype.api.models import fetch_weights

    output.notice()
    if source is not None and len(backbone) > 1:
        raise UserError(f"One file cannot be the weights of {len(backbone)} backbones.", fix="register them one by one")
    errors, rows = ErrorCollector(), []
    for name in backbone:
        with errors.capture():
            row = fetch_weights(name, source)
            rows.append(row)
            output.info(f"{name}: {row.source}, sha-256 {row.digest}, {row.license}")
    if as_json:
        output.print_json(rows)
    errors.raise_if_any()


def embed(
    backbone: Annotated[str, typer.Argument(help="a backbone or a feature; see: mitotype backbones, features")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help=".parquet or .csv to write: one row per patch")],
    init_from: Annotated[str, typer.Option(help="published, a file or folder of weights, or a run")] = "published",
    frame: Annotated[str, typer.Option(help="how images are framed")] = "crop(64)",
    pooling: Annotated[str, typer.Option(help="variant of pooling; default: that of the backbone")] = "",
    mpp: Mpp = None,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write embeddings of patches to a table.

    By a frozen backbone, or the values of a feature; they are cached, and probes use the same cache.

    Example: mitotype embed h-optimus-0 --data AMi-Br_Benchmark --out embeddings.parquet
    """
    from mitotype.api.models import embed

    output.notice(quiet=quiet)
    options = {"init_from": init_from, "frame": frame, "pooling": pooling, "device": device}
    rows = embed(backbone, data, mpp_um=mpp, out=out, threads=threads, quiet=quiet, **options)
    output.info(f"{len(rows)} embeddings of {rows.shape[1] - 1} numbers in {out}")


def doctor(
    backbone: Annotated[str | None, typer.Argument(help="a backbone to check; default: the machine")] = None,
    weights: Annotated[
        str | None, typer.Option(help="a file or folder of its weights, or 'published': loaded, run, compared")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this machine or a backbone.

    What works, what a backbone needs, whether its weights load, and how to fix what fails.

    Example: mitotype doctor h-optimus-0 --weights model.safetensors
    """
    from mitotype.api.machine_checks import doctor

    checks = doctor(backbone, weights)
    if as_json:
        output.print_json(checks)
    else:
        for check in checks:
            fix = f"\n     {check.fix}" if check.fix and not check.ok else ""
            output.show(f"{'ok ' if check.ok else 'no '} {check.name}: {check.result}{fix}")
    if any(check.required and not check.ok for check in checks):
        sys.exit(1)
