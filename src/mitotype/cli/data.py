"""Commands on data: audit, fetch."""

from pathlib import Path
from typing import Annotated

import typer

from mitotype.cli import output
from mitotype.cli.options import Json, Quiet


def audit(
    data: Annotated[list[str], typer.Argument(help="folders or csvs of patches, or NAME=PATH")], as_json: Json = False
) -> None:
    """Check data for duplicates and leaks.

    Conflicting labels, cases across parts, published overlaps, and the agreement of the experts.

    Example: mitotype audit AMi-Br_Benchmark
    """
    from mitotype.api.data import audit

    findings = audit(data)
    output.print_json(list(findings)) if as_json else output.show("\n".join(map(str, findings)))


def fetch(
    dataset: Annotated[str, typer.Argument(help="a dataset's name; see: mitotype datasets")],
    folder: Annotated[Path, typer.Argument(help="folder to put it in")],
    quiet: Quiet = False,
) -> None:
    """Download a public dataset.

    From its published address; interrupted downloads are resumed and digests are checked.

    Example: mitotype fetch amibr data/
    """
    from mitotype.api.data import fetch

    output.show_messages(quiet=quiet)
    fetch(dataset, folder, quiet=quiet)
    output.info(f"{dataset} is in {folder}")
