"""Commands on scores: score, evaluate, compare."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Device, Json, Mpp, NBoot, On, Quiet, Threads


def score(
    source: Annotated[str, typer.Argument(help="folder of a run, ensemble or bundle, or a shipped bundle's name")],
    on: Annotated[list[str], typer.Option("--on", help="test data: folder, csv or NAME=PATH")],
    out: Annotated[
        Path | None, typer.Option(help="folder for the rows; those of a run or ensemble are added to it")
    ] = None,
    mpp: Mpp = None,
    device: Device = "cpu",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Score test data with a run or bundle.

    Adds rows to the score table and writes the opening of the test set into the ledger.

    Example: mitotype score runs/default --on AMi-Br_Benchmark
    """
    from mitotype.api import scoring

    output.notice(quiet=quiet)
    folder = scoring.score(source, on, out=out, mpp_um=mpp, device=device, threads=threads, quiet=quiet)
    output.info(f"next: mitotype evaluate {folder.dir}")


def evaluate(
    source: Annotated[str, typer.Argument(help="folder of a run, ensemble or scores, or a csv with patch_id,score")],
    on: On = None,
    out: Annotated[Path | None, typer.Option("--out", help="report.html to write")] = None,
    part: Annotated[str, typer.Option(help="test or out-of-fold")] = "test",
    as_json: Json = False,
    n_boot: NBoot = 2000,
    threads: Threads = None,
) -> None:
    """Evaluate scores and write a report.

    Metrics with intervals over cases, per domain, and report.html in one file.

    Example: mitotype evaluate runs/default
    """
    from mitotype.api import scoring

    output.notice()
    page = out or scoring.report_path(source, part)
    scoring.check_report(page, source, on or (), part)
    command = output.command_line()
    evaluation = scoring.evaluate(source, on or (), part=part, n_boot=n_boot, threads=threads, command=command)
    evaluation.write_report(page)
    output.print_json(evaluation.to_record()) if as_json else output.show(str(evaluation))
    output.info(f"open {page}; its numbers are in {scoring.numbers_path(page)}")


def compare(
    a: Annotated[str, typer.Argument(help="a run or ensemble, or a csv with patch_id,score")],
    b: Annotated[str, typer.Argument(help="another")],
    on: On = None,
    as_json: Json = False,
    n_boot: NBoot = 2000,
    threads: Threads = None,
) -> None:
    """Compare two sets of scores, paired.

    Both are evaluated on the patches that they share.

    Example: mitotype compare runs/default theirs.csv --on AMi-Br_Benchmark
    """
    from mitotype.api import scoring

    output.notice()
    comparison = scoring.compare(a, b, on or (), n_boot=n_boot, threads=threads)
    output.print_json(comparison) if as_json else output.show(str(comparison))
