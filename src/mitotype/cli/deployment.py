"""Commands on bundles: classify, bundle, push."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Device, Json, Mpp
from mitotype.core import files, outputs
from mitotype.core.errors import UserError

if TYPE_CHECKING:
    from mitotype.deploy.predictions import Prediction

MAX_SHOWN = 20  # errors


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
    from mitotype.deploy import predictions as predictions_file

    output.notice()
    if out is not None:
        outputs.check_file(out, predictions_file.SUFFIXES, inputs=images)
        predictions_file.check_replaceable(out)
    from mitotype.api import deployment

    predictions = deployment.classify(
        images, bundle, mpp_um=mpp, explain=words, device=device, progress=output.progress, on_note=output.note
    )
    write_predictions(predictions, out, as_json=as_json)


def write_predictions(predictions: "Sequence[Prediction]", out: Path | None, *, as_json: bool = False) -> None:
    """Print JSON, write a file, or print a csv without both; then print a summary.

    Raises a UserError that lists the images that could not be classified, when all others are written.
    """
    from mitotype.deploy.classify import OUT_OF_DISTRIBUTION
    from mitotype.deploy.predictions import to_table, write

    if as_json:
        output.print_json(predictions)
    if out is not None:
        write(out, predictions)
        output.info(f"{len(predictions)} predictions in {out}")
    elif not as_json:
        text = files.escape_formulas(to_table(predictions)).to_csv(index=False)
        output.show(text.rstrip("\n")) if sys.stdout and sys.stdout.isatty() else print(text, end="")
    n_by_decision = Counter(prediction.decision for prediction in predictions)
    counts = ", ".join(f"{n_by_decision[name]} {name}" for name in ("atypical", "normal", "uncertain"))
    n_outliers = sum(OUT_OF_DISTRIBUTION in prediction.flags for prediction in predictions)
    failed = [prediction for prediction in predictions if prediction.error]
    output.info(f"{len(predictions) - len(failed)} figures: {counts}; {n_outliers} out of distribution")
    if failed:
        shown = "\n".join(f"- {prediction.error}" for prediction in failed[:MAX_SHOWN])
        more = f"\n- and {len(failed) - MAX_SHOWN} more (column 'error')" if len(failed) > MAX_SHOWN else ""
        message = f"{len(failed)} of {len(predictions)} images could not be classified; the others were:\n{shown}{more}"
        raise UserError(message, fix="replace them or leave them out, then repeat the command")


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

    text = files.read_bytes(notes, what="notes", max_bytes=2**20).decode("utf-8", "replace") if notes else ""
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
    output.show(
        deployment.push(bundle, repository, private=private, adapters_of_no_derivatives=adapters_of_no_derivatives)
    )
