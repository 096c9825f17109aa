"""Commands on many runs: benchmark."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import (
    Backend,
    Data,
    Device,
    HoldOut,
    Json,
    Mpp,
    NBoot,
    Quiet,
    Settings,
    Several,
    Threads,
    Workers,
    split_names,
)


def benchmark(
    out: Annotated[Path, typer.Option("--out", help="folder of the benchmark; one that was stopped is continued")],
    data: Data = [],  # noqa: B006
    test: Annotated[Several, typer.Option("--test", help="test data; default: the test parts of --data")] = None,
    hold_out: HoldOut = None,
    backbones: Annotated[Several, typer.Option(help="nets and features; default: the nets of the study")] = None,
    adaptations: Annotated[Several, typer.Option(help='what is trained: probe "lora(8, 16)" "prompts(8)" full')] = None,
    settings: Settings = None,
    init_from: Annotated[
        Several, typer.Option(help="initial weights: published, a run, or BACKBONE=PATH (file or folder)")
    ] = None,
    like: Annotated[
        str, typer.Option(help="shared: one policy for all; study: the study's own recipe for each")
    ] = "shared",
    backend: Backend = "local",
    title: Annotated[str, typer.Option(help="a line under the table's heading")] = "",
    mpp: Mpp = None,
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
    n_boot: NBoot = 2000,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train and score many backbones; one table.

    Backbone × adaptation × fold; the table has the published numbers beside ours.

    Example: mitotype benchmark --data AMi-Br_Benchmark --backbones uni2-h --adaptations probe "lora(8, 16)" --out runs/bench
    """
    from mitotype.api import benchmarking

    output.notice(quiet=quiet)
    if backend == "here":
        warnings.warn("The backend 'here' is now called 'local'.", FutureWarning, stacklevel=2)
        backend = "local"
    options = benchmarking.BenchmarkOptions(
        out=out, data=data, test=test or (), hold_out=split_names(hold_out), backbones=backbones or (),
        adaptations=adaptations or (), settings=settings or (), init_from=init_from or (), like=like, backend=backend,
        title=title, mpp_um=mpp, device=device, workers=workers, n_boot=n_boot,
    )  # fmt: skip
    table = benchmarking.benchmark(options, threads=threads, quiet=quiet)
    output.print_json(table.to_record()) if as_json else output.show(benchmarking.table_text(table))
    output.info(f"open {out / 'table.html'}")
    table.raise_failures()
