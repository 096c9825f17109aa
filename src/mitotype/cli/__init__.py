"""Command-line interface: `mitotype losses` lists, `mitotype losses focal` shows one; verbs are in one module per topic."""

import sys
import warnings
from itertools import chain
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mitotype import __version__
from mitotype.cli import benchmarking, data, demo, deployment, listing, models, output, scoring, training
from mitotype.cli.options import expand_options, rename_options
from mitotype.core.errors import UserError
from mitotype.core.schema import NOTICE

COMMANDS = {
    "Use": (demo.demo, deployment.classify, deployment.bundle, deployment.push, models.doctor),
    "Train": (training.train, training.resume, models.weights, models.embed),
    "Evaluate": (scoring.score, scoring.evaluate, scoring.compare, benchmarking.benchmark),
    "Data": (data.audit, data.fetch),
    "List": tuple(listing.listing_command(plural) for plural in listing.NOUNS),
}


class GroupedCommands(TyperGroup):
    """Lists the commands in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for group, functions in COMMANDS.items():
            names = [function.__name__ for function in functions]
            with formatter.section(group):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(limit=60)) for name in names])


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
    app.command()(_function)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        typer.echo(f"mitotype {__version__}")
        raise typer.Exit


def main(args: list[str] | None = None) -> Any:
    """Run a command. A UserError is printed without a traceback and exits with 2; everything else is a bug."""
    warnings.formatwarning = output.format_warning  # type: ignore[assignment]
    try:
        return app(args=expand_options(rename_options(sys.argv[1:] if args is None else args)))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. Complete files are stored; `mitotype resume RUN` continues.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
