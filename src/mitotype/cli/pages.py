"""Pages: the reference in docs/ is written from the code: `python -m mitotype.cli.pages docs/reference`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mitotype.cli import show
from mitotype.core import files

NOUNS = ("datasets", "views", "features", "backbones", "losses", "recipes")
WRITTEN = "Written from the code by `python -m mitotype.cli.pages docs/reference`; a test fails when the two differ."


def pages() -> dict[str, str]:
    """File name → Markdown, for every page of the reference."""
    return {"commands.md": commands(), **{f"{noun}.md": shelf(noun) for noun in NOUNS}, "checks.md": checks()}


def commands() -> str:
    """Every command with its example, arguments and options."""
    from typer.main import get_command

    from mitotype.cli import app

    parts = ["# Commands", WRITTEN]
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        says, _, example = (command.help or "").strip().partition("Example: ")
        parts += [f"## mitotype {name}", " ".join(says.split()), f"```\n{example.strip()}\n```"]
        lines = [
            f"| `{_spelled(param)}` | {_cell(getattr(param, 'help', None) or '')} |"
            for param in command.params
            if param.name != "help"
        ]
        parts.append("| argument or option | meaning |\n|---|---|\n" + "\n".join(lines) if lines else "")
    return "\n\n".join(part for part in parts if part) + "\n"


def _spelled(param: Any) -> str:
    """An argument by its name in capitals, an option by its longest spelling."""
    return param.name.upper() if param.param_type_name == "argument" else max(param.opts, key=len)


def shelf(noun: str) -> str:
    """One section per item of a shelf: its sentence and its facts."""
    parts = [f"# {noun.capitalize()}", WRITTEN]
    for name, facts in show.known(noun).items():
        told = {key: value for key, value in facts.items() if key != "says" and value not in ("", None, (), [], {})}
        lines = "\n".join(f"| {key} | {_cell(value)} |" for key, value in told.items())
        parts += [f"## {name}", str(facts["says"]), f"| fact | value |\n|---|---|\n{lines}" if lines else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def checks() -> str:
    """The checks on method: code, what it says, why, and how to mend it."""
    from mitotype.evaluation import checks as rules

    parts = ["# Checks", WRITTEN]
    for code, check in rules.CHECKS.items():
        parts += [f"## {code} {check.title}", check.page]
    return "\n\n".join(parts) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {item}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        value = "; ".join(str(item) for item in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def write(folder: Path) -> None:
    for name, text in pages().items():
        files.write_text(folder / name, text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
