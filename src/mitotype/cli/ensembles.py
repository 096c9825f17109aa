"""Commands on ensembles: ensemble."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Quiet


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="folders of finished runs")],
    out: Annotated[Path, typer.Option("--out", help="folder of the ensemble")],
    combiner: Annotated[
        str, typer.Option(help="mean, weights(0.7, 0.3), stack, greedy(…) or sklearn(…); see mitotype combiners")
    ] = "mean",
    calibration: Annotated[
        str, typer.Option(help="identity, temperature or platt; by default that of the first run")
    ] = "",
    threshold: Annotated[str, typer.Option(help="rule of the threshold; see mitotype thresholds")] = "",
    abstention: Annotated[str, typer.Option(help="rule of the uncertain band; see mitotype abstentions")] = "",
    seed: Annotated[int, typer.Option(help="seed of folds and of random combiners")] = 0,
    quiet: Quiet = False,
) -> None:
    """Combine runs from their score tables.

    No image is read: combiner and decision are fitted on the runs' out-of-fold rows. Then score, evaluate, compare and bundle
    take the folder as they take that of a run.

    Example: mitotype ensemble runs/a runs/b --combiner greedy --out runs/a+b
    """
    from mitotype.api import ensembles

    output.notice(quiet=quiet)
    ensembles.ensemble(
        runs, out, combiner=combiner, calibration=calibration, threshold=threshold, abstention=abstention, seed=seed,
        quiet=quiet,
    )  # fmt: skip
    output.info(f"next: mitotype evaluate {out} --part out-of-fold, or mitotype score {out} --on TESTDATA")
