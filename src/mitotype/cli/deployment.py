"""Commands on bundles: classify, bundle, export, push."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Device, Json, Mpp, Quiet, Threads
from mitotype.core.errors import UserError

if TYPE_CHECKING:
    from mitotype.api.predictions import Prediction, Predictions

MAX_SHOWN = 20  # errors


def classify(
    images: Annotated[list[str] | None, typer.Argument(help="images, folders, csv lists, multi-page TIFFs")] = None,
    bundle: Annotated[
        str, typer.Option(help="shipped bundle's name, folder of a bundle or run, or hf://OWNER/NAME@REVISION")
    ] = "default",
    example: Annotated[bool, typer.Option("--example", help="classify the images that ship with the package")] = False,
    sensitivity: Annotated[float | None, typer.Option(help="set the threshold to this out-of-fold sensitivity")] = None,
    specificity: Annotated[float | None, typer.Option(help="set the threshold to this out-of-fold specificity")] = None,
    mpp: Mpp = None,
    out: Annotated[Path | None, typer.Option("--out", help=".csv, .json or .parquet to write")] = None,
    words: Annotated[
        bool, typer.Option("--words", help="explain by the shape descriptors; with --bundle morphology")
    ] = False,
    as_json: Json = False,
    device: Device = "cpu",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Classify images of mitotic figures.

    Probability, class, decision, standard deviation of the members, and flags of every image.

    Example: mitotype classify patches/ --out predictions.csv
    """
    from mitotype.api import deployment

    example_paths: list[Path] = []
    if example:
        from mitotype.api.examples import example_images

        example_paths = example_images()
    output.notice(quiet=quiet)
    printer = _RowPrinter()
    try:
        predictions = deployment.classify(
            [*(images or []), *example_paths], bundle, mpp_um=mpp, explain=words, out=out,
            sensitivity=sensitivity, specificity=specificity, device=device, threads=threads, quiet=quiet,
            on_predictions=(lambda more: None) if as_json or out else printer.print,
        )  # fmt: skip
    except KeyboardInterrupt as stop:
        raise printer.interrupted(stop) from None
    if as_json:
        output.print_json(list(predictions))
    show_predictions(predictions, out)


class _RowPrinter:
    """Prints predictions as a csv while they are made; nothing before there is an image that could be classified."""

    def __init__(self) -> None:
        self._waiting: list[Prediction] = []
        self._columns: list[str] = []
        self._n_printed = 0

    def print(self, more: "Sequence[Prediction]") -> None:
        from mitotype.api.predictions import csv_columns, to_csv

        self._waiting += more
        if all(prediction.error for prediction in self._waiting):
            return
        header = not self._columns
        self._columns = self._columns or csv_columns(self._waiting, len(more))
        text = to_csv(self._waiting, self._columns, header=header)
        output.show(text.rstrip("\n")) if sys.stdout and sys.stdout.isatty() else print(text, end="")
        output.flush()
        self._n_printed += len(self._waiting)
        self._waiting = []

    def interrupted(self, stop: KeyboardInterrupt) -> KeyboardInterrupt:
        """Return the interrupt with the number of rows that are printed, if there are any."""
        from mitotype.core.interrupts import Interrupted

        if isinstance(stop, Interrupted) and self._n_printed:
            stop.stored = f"The first {self._n_printed} predictions are printed."
        return stop


def show_predictions(predictions: "Predictions", out: Path | None) -> None:
    """Print a summary. Raises a UserError that lists the images that could not be classified."""
    if out is not None:
        output.info(f"{len(predictions)} predictions in {out}")
    output.info(predictions.summary())
    failed = [prediction for prediction in predictions if prediction.error]
    if failed:
        shown = "\n".join(f"- {prediction.error}" for prediction in failed[:MAX_SHOWN])
        more = f"\n- and {len(failed) - MAX_SHOWN} more (column 'error')" if len(failed) > MAX_SHOWN else ""
        message = f"{len(failed)} of {len(predictions)} images could not be classified; the others were:\n{shown}{more}"
        raise UserError(message, fix="replace them or leave them out, then repeat the command")


def bundle(
    run: Annotated[Path, typer.Argument(help="folder of a finished run or ensemble")],
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
    from mitotype.api import bundles

    bundles.bundle(run, out, name=name, notes=notes or "", with_base=with_base)
    output.info(f"open {out / 'card.md'}; use it: mitotype classify IMAGES --bundle {out}")


def export(
    bundle: Annotated[str, typer.Argument(help="folder of a bundle, or a shipped bundle's name")],
    to: Annotated[str, typer.Option("--to", help="format: onnx, opencv, timm or wsinfer")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", help="file (onnx) or folder to write; default: onnx into the bundle itself")
    ] = None,
) -> None:
    """Write a bundle's nets for other programs.

    ONNX without --out is stored in the bundle, which then classifies without torch. WSInfer and OpenCV are for QuPath.

    Example: mitotype export my-bundle --to wsinfer --out mitotype
    """
    from mitotype.api import bundles

    output.info(f"written: {bundles.export(bundle, to=to, out=out)}")


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
    from mitotype.api import bundles

    output.notice()
    output.show(
        bundles.push(bundle, repository, private=private, adapters_of_no_derivatives=adapters_of_no_derivatives)
    )
