"""Command that serves a classifier: serve."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Device, Quiet, Several, Threads


def serve(
    bundle: Annotated[str, typer.Argument(help="shipped bundle's name, or a folder of a bundle or run")] = "default",
    host: Annotated[str, typer.Option(help="address to listen at; 0.0.0.0 is every one of this machine")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that requests must have; default: MITOTYPE_TOKEN")
    ] = None,
    allow_host: Annotated[
        Several, typer.Option("--allow-host", help="further name by which requests reach the service; * for every one")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="bytes of a request; default: 16 MiB")] = None,
    max_images: Annotated[int | None, typer.Option(min=1, help="images of a request; default: 64")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="pixels of an image; default: 1024 × 1024")] = None,
    max_waiting: Annotated[
        int | None, typer.Option(min=1, help="requests that may wait, others are answered with 429; default: 32")
    ] = None,
    sensitivity: Annotated[float | None, typer.Option(help="set the threshold to this out-of-fold sensitivity")] = None,
    specificity: Annotated[float | None, typer.Option(help="set the threshold to this out-of-fold specificity")] = None,
    words: Annotated[bool, typer.Option("--words", help="explain by the shape descriptors; with morphology")] = False,
    device: Device = "cpu",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Classify images over HTTP.

    Images as multipart or JSON in, the predictions of classify --json out. Only this machine reaches the service unless --host is
    given, and then a token is required.

    Example: mitotype serve --port 8000
    """
    from mitotype.api import serving

    output.notice(quiet=quiet)
    address = serving.Address(host, port, tuple(allow_host or ()), token_file)
    limits = {"max_bytes": max_bytes, "max_images": max_images, "max_pixels": max_pixels, "max_waiting": max_waiting}
    serving.serve(
        bundle, address, serving.Limits(**{name: value for name, value in limits.items() if value is not None}),
        sensitivity=sensitivity, specificity=specificity, explain=words,
        device=device, threads=threads,
    )  # fmt: skip
