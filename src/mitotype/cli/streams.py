"""Standard streams: any text can be written to them, and one that is closed does not become another file."""

import os
import sys
from pathlib import Path
from typing import Any


def prepare() -> None:
    """Prepare the standard streams of this process, before a file is opened.

    Standard output that is closed fails when it is written; standard error is dispensable. A pipe or file receives UTF-8, a
    terminal escapes what it cannot show.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        _accept_all_text(stream)


def _accept_all_text(stream: Any) -> None:
    if not hasattr(stream, "reconfigure"):  # one of a notebook
        return
    if stream.isatty() or "PYTHONIOENCODING" in os.environ:
        stream.reconfigure(errors="backslashreplace")
    else:
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
