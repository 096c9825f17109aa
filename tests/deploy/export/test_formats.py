"""The table of formats: one file each, and all of them in the help of the command."""

from __future__ import annotations

from inspect import signature

from typer.testing import CliRunner

from mitotype.cli import app
from mitotype.deploy.export.formats import FORMATS


def test_each_format_has_a_file_of_its_name_and_is_in_the_help() -> None:
    text = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"}).output
    for name, entry in FORMATS.items():
        assert entry.export.__module__ == f"mitotype.deploy.export.{name}"
        assert list(signature(entry.export).parameters) == ["source", "out"]
        assert name in text
