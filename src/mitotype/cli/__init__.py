"""Command-line interface: `mitotype losses` lists, `mitotype losses focal` shows one; verbs are in one module per topic."""

import os
import sys
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mitotype import __version__
from mitotype.cli import (
    ablation,
    adaptation,
    benchmarking,
    challenges,
    data,
    demo,
    deployment,
    ensembles,
    listing,
    models,
    output,
    scoring,
    serving,
    streams,
    training,
)
from mitotype.cli.options import expand_options, rename_options, split_plugins
from mitotype.core import extras, interrupts
from mitotype.core.errors import UserError
from mitotype.core.schema import NOTICE

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Use": (
        demo.demo,
        deployment.classify,
        deployment.bundle,
        adaptation.adapt,
        deployment.export,
        challenges.challenge,
        deployment.push,
        serving.serve,
        models.doctor,
    ),
    "Train": (training.train, training.resume, models.weights, models.embed),
    "Evaluate": (
        scoring.score,
        scoring.evaluate,
        scoring.compare,
        ensembles.ensemble,
        benchmarking.benchmark,
        ablation.ablate,
    ),
    "Data": (data.audit, data.fetch),
    "List": tuple(listing.listing_command(plural) for plural in listing.NOUNS),
}


MAX_SUMMARY = 45  # characters: a line of 80 columns has no more beside the longest name of a command


class GroupedCommands(TyperGroup):
    """Lists the commands in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for group, functions in COMMANDS.items():
            names = [function.__name__ for function in functions]
            with formatter.section(group):
                formatter.write_dl(
                    [(name, self.commands[name].get_short_help_str(limit=MAX_SUMMARY)) for name in names]
                )


app = typer.Typer(
    name="mitotype",
    cls=GroupedCommands,
    help=f"Classify mitotic figures in H&E pathology as atypical or normal.\n\n{NOTICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _function in chain(*COMMANDS.values()):
    app.command()(output.interruptible(_function))


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option("--plugin", metavar="FILE.py", help="add components: a Python file, which is run"),
    ] = None,
) -> None:
    if version:
        typer.echo(f"mitotype {__version__}")
        raise typer.Exit


def main(args: list[str] | None = None) -> Any:
    """Run a command. A UserError is printed without a traceback and exits with 2, and so is what the machine refuses.

    Everything else is a bug.
    """
    streams.prepare()
    output.show_messages()
    warnings.formatwarning = output.format_warning  # type: ignore[assignment]
    try:
        with interrupts.raised_signals(), extras.translated():
            files, args = split_plugins(sys.argv[1:] if args is None else args)
            if files:
                from mitotype.core import plugins

                plugins.load_all(files)
            return app(args=expand_options(rename_options(args)))
    except UserError as error:
        output.error(str(error))
        sys.exit(2)
    except OSError as error:
        output.error(
            f"{error.strerror or error}: {_shown(error.filename)}.\n  check the path, its permissions and the disk"
        )
        sys.exit(2)
    except MemoryError:
        output.error("The memory is used up.\n  give fewer or smaller images, or use a machine with more memory")
        sys.exit(2)
    except KeyboardInterrupt as interrupt:  # before typer has begun, or after it has ended
        output.exit_interrupted(interrupt)
    except SystemExit as end:  # typer exits silently for an interrupt outside of a command
        stop = interrupts.unreported(end)
        if stop:
            output.exit_interrupted(stop)
        raise


def _shown(name: Any) -> str:
    return "a file" if name is None else f"'{os.fsdecode(name) if isinstance(name, bytes) else name}'"


if __name__ == "__main__":
    main()
