"""Command that serves a classifier: serve."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Device, Quiet, Several, Threads
from mitotype.serve.limits import LIMITS, Limits


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
    max_bytes: Annotated[int, typer.Option(min=1, help="bytes of a request")] = LIMITS.max_bytes,
    max_images: Annotated[int, typer.Option(min=1, help="images of a request")] = LIMITS.max_images,
    max_pixels: Annotated[int, typer.Option(min=1, help="pixels of an image")] = LIMITS.max_pixels,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="requests that may wait; further ones are answered with 429")
    ] = LIMITS.max_waiting,
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
    limits = Limits(max_bytes, max_images, max_pixels, max_waiting)
    serving.serve(
        bundle, address, limits, sensitivity=sensitivity, specificity=specificity, explain=words,
        device=device, threads=threads,
    )  # fmt: skip
