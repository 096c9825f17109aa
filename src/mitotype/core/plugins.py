"""Plugins: Python files that add components to the registries. A plugin is code and is run: only what the user names is loaded.

A run records the plugins that were loaded when it was created; nothing in a run or a bundle loads one.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mitotype.core import files
from mitotype.core.errors import UserError

_loaded: dict[Path, Plugin] = {}


class Plugin(NamedTuple):
    """A loaded file and the sha-256 of its content."""

    path: Path
    digest: str


def load(path: Path) -> None:
    """Run a Python file, which adds its components to the registries; a file that is loaded is not run again.

    Raises a UserError for a file that is absent, is no Python file, or raises an exception.
    """
    path = path.expanduser().absolute()
    if path in _loaded:
        return
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"The plugin '{path}' is not a Python file.", fix="give the path of a .py file")
    digest = files.sha256(path)
    module_name = f"mitotype_plugin_{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f", line {lines[-1]}" if lines else ""
        problem = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise UserError(f"The plugin '{path}' does not load{line}: {problem}", fix="correct the file") from error
    _loaded[path] = Plugin(path, digest)


def load_all(paths: Iterable[Path]) -> None:
    for path in paths:
        load(path)


def loaded() -> tuple[Plugin, ...]:
    """Return the loaded plugins in the order in which they were loaded."""
    return tuple(_loaded.values())


def check_loaded(required: Iterable[tuple[str, str]]) -> None:
    """Check that the plugins of a run, by file name and digest, are loaded. Raises a UserError that names one that is not."""
    digests = {plugin.digest for plugin in loaded()}
    for name, digest in required:
        if digest not in digests:
            state = "has changed since" if name in {plugin.path.name for plugin in loaded()} else "is not loaded"
            what = f"The run was started with the plugin '{name}' ({digest[:8]}), which {state}."
            raise UserError(what, fix=f"add --plugin {name}, in the version of that time")
