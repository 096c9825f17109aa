"""A bundle without traces of the machine, the people and the cases it was made of: what is published.

Bundles hold no path and no case as they are made; notes, titles and findings are free text, which may.
"""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord

# Keys of bundle.json with free text, and those whose text quotes patches or cases.
FREE_TEXT = frozenset(("notes", "sources", "title", "command", "openings", "model", "note", "source", "folder"))
QUOTING = frozenset(("text", "notes"))
QUOTED = re.compile(r"'[^']*'")
SEPARATED = r"[^\s/\\'\"`|,;:()<>]+"
PATH = re.compile(rf"(?<![\w.:/\\])(?:file://)?(?:~|[A-Za-z]:)?(?:[/\\]{SEPARATED})+[/\\]({SEPARATED})")
GENERIC = frozenset(("root", "user", "home", "admin", "ubuntu", "debian", "runner", "jovyan", "localhost", "mitotype"))
REMOVED = "…"


def redact_record(record: BundleRecord) -> BundleRecord:
    """Return the record with the last part of each path in its free text, and without user names and quoted cases."""
    value = _redacted(records.to_builtins(record))
    return records.decode(records.encode(value), BundleRecord, f"The bundle '{record.name}'")


def redact_text(text: str) -> str:
    """Return a text with the last part of each path, and without the names of this user and this machine."""
    text = PATH.sub(r"\1", text)
    return re.sub(rf"\b(?:{'|'.join(map(re.escape, names))})\b", REMOVED, text) if (names := _names()) else text


def check_files(paths: Iterable[Path]) -> None:
    """Raise a UserError for a file that holds the path of this user's home folder."""
    home = str(Path.home())
    if len(Path(home).parts) < 3 or Path(home).name in GENERIC:
        return
    for path in paths:
        if home.encode() in path.read_bytes():
            raise UserError(f"'{path.name}' contains the path of your home folder.", fix="make the bundle again")


def _redacted(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _redacted(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if key in QUOTING:
        value = QUOTED.sub(f"'{REMOVED}'", value)
    return redact_text(value) if key in FREE_TEXT or key in QUOTING else value


def _names() -> list[str]:
    """Return the names of this user and this machine that are not everybody's."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no such user in a container
        user = ""
    candidates = {user, Path.home().name, platform.node(), platform.node().partition(".")[0]}
    return sorted(name for name in candidates if len(name) > 2 and name.lower() not in GENERIC)
