"""Options that several commands have, options with several values, and options that were renamed."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mitotype.core.errors import UserError

Several = list[str] | None  # values of an option that may be repeated
Data = Annotated[list[str], typer.Option("--data", help="folder or csv of patches, or NAME=PATH; several are joined")]
On = Annotated[Several, typer.Option("--on", help="data with the labels of a csv's patch_id")]
HoldOut = Annotated[
    Several, typer.Option("--hold-out", help="test sets whose slides and images are left out: amibr-test,atnorm-md")
]
Settings = Annotated[Several, typer.Option("--set", help="change a field of the recipe: epochs=5")]
Out = Annotated[Path | None, typer.Option("--out", help="folder or file to write")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]
Mpp = Annotated[float | None, typer.Option(help="µm/px of the images, where they are not at 0.25")]
Threads = Annotated[int | None, typer.Option(help="threads to compute with; default: the CPUs it may use")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress and no messages but errors")]
NBoot = Annotated[int, typer.Option("--n-boot", help="bootstrap replicates over cases")]
Backbones = Annotated[Several, typer.Option(help="of an ensemble recipe: nets in place of its own")]
Backend = Annotated[str, typer.Option(help="local, ray, or the address of a Ray cluster")]
Workers = Annotated[int, typer.Option(help="members at once on processors; 0: as many as there are cores for")]

# options that take several values: --data A B
SEVERAL = ("--data", "--on", "--hold-out", "--set", "--test", "--backbones", "--adaptations", "--init-from")
# old → new name, of every command and of one command
RENAMED = {"--adapt": "--adaptations", "--draws": "--n-boot"}
RENAMED_IN = {"benchmark": {"--on": "--backend"}}


def split_plugins(args: list[str]) -> tuple[list[Path], list[str]]:
    """Return the files of every `--plugin FILE`, wherever it stands, and the other arguments."""
    plugins, others = [], []
    rest = iter(args)
    for arg in rest:
        option, equals, file = arg.partition("=")
        if option != "--plugin":
            others.append(arg)
        elif file := file if equals else next(rest, ""):
            plugins.append(Path(file))
        else:
            raise UserError("--plugin has no file.", fix="--plugin FILE.py")
    return plugins, others


def rename_options(args: list[str]) -> list[str]:
    """Return the arguments with old names of options replaced; each is warned of."""
    renamed = RENAMED | RENAMED_IN.get(args[0] if args else "", {})
    result = []
    for arg in args:
        option, equals, value = arg.partition("=")
        if option in renamed:
            warnings.warn(f"The option {option} is now called {renamed[option]}.", FutureWarning, stacklevel=2)
            arg = renamed[option] + equals + value
        result.append(arg)
    return result


def expand_options(args: list[str]) -> list[str]:
    """Return `--data A B` as `--data A --data B`, for the options in SEVERAL."""
    result: list[str] = []
    option, n_values = "", 0
    for arg in args:
        if arg.startswith("-"):
            option, n_values = (arg, 0) if arg in SEVERAL else ("", 0)
        elif option:
            if n_values:
                result.append(option)
            n_values += 1
        result.append(arg)
    return result


def split_names(texts: list[str] | None) -> list[str]:
    """Return the names in texts that separate them by commas."""
    return [name for text in texts or [] for name in text.split(",") if name]
