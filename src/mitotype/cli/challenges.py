"""The command on containers for a challenge."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Out
from mitotype.core.errors import UserError


def challenge(
    bundle: Annotated[str | None, typer.Argument(help="folder of a bundle, or a shipped bundle's name")] = None,
    out: Out = None,
    wheels: Annotated[
        Path | None, typer.Option(help="folder of wheels that the image installs from, mitotype's among them")
    ] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="DIR", help="try a folder that this command wrote, without Docker")
    ] = None,
    input_dir: Annotated[
        Path | None, typer.Option("--input", metavar="DIR", help="with --check: another input folder")
    ] = None,
) -> None:
    """Write a container for MIDOG 2025, Track 2.

    A folder with Dockerfile, entry point and bundle, and scripts that build, test and save the image. With --check a folder is
    run as the platform does: its output, seconds, memory and size.

    Example: mitotype challenge my-bundle --out container
    """
    from mitotype.api import challenges

    if (bundle is None) == (check is None) or (check is None and out is None):
        raise UserError(
            "Neither a folder is written nor one checked.",
            fix="mitotype challenge BUNDLE --out DIR, or mitotype challenge --check DIR",
        )
    output.notice()
    if check is not None:
        output.show(str(challenges.check_challenge(check, input_dir)))
    elif bundle is not None and out is not None:
        challenges.challenge(bundle, out, wheels=wheels)
        output.info(f"try it: mitotype challenge --check {out}; build it: {out / 'do_build.sh'}")
