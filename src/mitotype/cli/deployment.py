"""Commands on bundles: classify, bundle, push."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Device, Json, Mpp
from mitotype.core import files, records
from mitotype.core.errors import UserError

if TYPE_CHECKING:
    from mitotype.deploy.classify import Prediction


def classify(
    images: Annotated[list[str], typer.Argument(help="images, folders, csv lists, multi-page TIFFs")],
    bundle: Annotated[str, typer.Option(help="shipped bundle's name, or a folder of a bundle or run")] = "default",
    mpp: Mpp = None,
    out: Annotated[Path | None, typer.Option("--out", help=".csv, .json or .parquet to write")] = None,
    words: Annotated[
        bool, typer.Option("--words", help="explain by the shape descriptors; with --bundle morphology")
    ] = False,
    as_json: Json = False,
    device: Device = "cpu",
) -> None:
    """Classify images of mitotic figures.

    Probability, class, decision, standard deviation of the members, and flags of every image.

    Example: mitotype classify patches/ --out predictions.csv
    """
    from mitotype.api import deployment

    output.notice()
    predictions = deployment.classify(
        images, bundle, mpp_um=mpp, explain=words, device=device, progress=output.progress
    )
    write_predictions(predictions, out, as_json=as_json)


def write_predictions(predictions: "Sequence[Prediction]", out: Path | None, *, as_json: bool = False) -> None:
    """Print JSON, write a file, or print a csv without both; then print a summary."""
    import pandas as pd

    from mitotype.deploy.classify import OUT_OF_DISTRIBUTION

    if as_json:
        output.print_json(predictions)
    rows = pd.DataFrame(records.to_builtins(predictions))
    for column in rows.columns.intersection(["flags", "explanation"]):
        rows[column] = rows[column].str.join("; ")
    if out is not None:
        if out.suffix not in (*files.TABLES, ".json"):
            raise UserError(f"'{out}' is not a supported file type.", allowed=".csv, .json, .parquet")
        records.write(out, predictions) if out.suffix == ".json" else files.write_table(out, rows)
        output.info(f"{len(predictions)} predictions in {out}")
    elif not as_json:
        files.escape_formulas(rows).to_csv(sys.stdout, index=False)
    n_by_decision = Counter(prediction.decision for prediction in predictions)
    counts = ", ".join(f"{n_by_decision[name]} {name}" for name in ("atypical", "normal", "uncertain"))
    n_outliers = sum(OUT_OF_DISTRIBUTION in prediction.flags for prediction in predictions)
    output.info(f"{len(predictions)} figures: {counts}; {n_outliers} out of distribution")


def bundle(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    out: Annotated[Path, typer.Option("--out", help="folder of the bundle")],
    name: Annotated[str, typer.Option(help="name of the bundle")] = "mine",
    notes: Annotated[Path | None, typer.Option(help="Markdown for the card: how choices were made")] = None,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="include published weights under adapters, if their license allows it")
    ] = False,
) -> None:
    """Make a bundle of a run.

    A bundle is what classify needs, and nothing else.

    Example: mitotype bundle runs/default --out my-bundle
    """
    from mitotype.api import deployment

    text = notes.read_text(encoding="utf-8") if notes else ""
    deployment.bundle(run, out, name=name, notes=text, with_base=with_base)
    output.info(f"open {out / 'card.md'}; use it: mitotype classify IMAGES --bundle {out}")


def push(
    bundle: Annotated[str, typer.Argument(help="folder of a bundle, or a shipped bundle's name")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the hub")],
    private: Annotated[bool, typer.Option("--private", help="make the repository private")] = False,
    adapters_of_no_derivatives: Annotated[
        bool,
        typer.Option(
            "--adapters-of-no-derivatives",
            help="the publisher lets you share adapters of weights whose license forbids derivatives",
        ),
    ] = False,
) -> None:
    """Publish a bundle on the Hugging Face Hub.

    Only where the licenses of the weights under it allow that.

    Example: mitotype push my-bundle me/my-bundle --private
    """
    from mitotype.api import deployment

    output.notice()
    print(deployment.push(bundle, repository, private=private, adapters_of_no_derivatives=adapters_of_no_derivatives))
