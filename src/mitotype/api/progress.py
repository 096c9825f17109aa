"""Progress of long functions, with one switch: bars on a terminal, lines elsewhere, nothing where `quiet`.

Messages go to the logger "mitotype". The commands print what reaches it; `quiet=False` does so in a notebook or script.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from mitotype.core.run_layout import LogLine, OnLog
from mitotype.core.text_tables import printable

LOGGER = logging.getLogger("mitotype")
LOG_EVERY_S = 10.0  # between two lines of progress without a terminal


def log_notes(texts: Iterable[str]) -> None:
    """Log remarks on data and weights, each with the word "note"."""
    for text in texts:
        LOGGER.info(f"note: {text}")


class Progress:
    """Progress of several items: bars on a terminal; elsewhere a line every LOG_EVERY_S seconds and at the end of an item."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._last_s = time.monotonic()
        self._handler: logging.Handler | None = None
        self._level = logging.NOTSET

    def __enter__(self) -> Progress:
        if self._quiet:
            return self
        if not LOGGER.handlers:  # no command and no program that shows the messages in its own way
            self._handler, self._level = logging.StreamHandler(), LOGGER.level
            LOGGER.addHandler(self._handler)
            LOGGER.setLevel(logging.INFO)
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            text = TextColumn("{task.description}", markup=False)
            columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars:
            self._bars.stop()
        if self._handler:
            LOGGER.removeHandler(self._handler)
            LOGGER.setLevel(self._level)

    def print(self, text: str) -> None:
        """Print a line that stays."""
        self._bars.console.print(printable(text), markup=False, highlight=False) if self._bars else LOGGER.info(text)
        self._last_s = time.monotonic()

    def update(self, item: str, done: int, total: int | None, *, text: str = "", is_end: bool = False) -> None:
        """Show that `done` of `total` (None: unknown) of an item is done. `text` replaces the default line.

        With `is_end` the line stays and the bar of the item goes.
        """
        if self._quiet:
            return
        if self._bars:
            if item not in self._tasks:
                self._tasks[item] = self._bars.add_task(printable(item), total=total)
            self._bars.update(self._tasks[item], description=printable(text or item), completed=done, total=total)
            if is_end:
                self._bars.remove_task(self._tasks.pop(item))
        if is_end or (not self._bars and time.monotonic() - self._last_s >= LOG_EVERY_S):
            self.print(text or f"{item}: {done} of {total}")

    def counter(self, item: str, total: int) -> Callable[[int], None]:
        """Return a callback for the number of further parts of an item that are done."""
        done = 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            self.update(item, done, total)

        return advance

    def training(self) -> OnLog:
        """Return a callback that shows the log lines of training: one item for each member, with its epochs."""

        def on_log(line: LogLine) -> None:
            name = f"{line.cell}, {line.member}" if line.cell else line.member
            item = f"member {line.job} of {line.jobs} ({name})"
            if line.cache_gb is not None:
                size = f"{line.cache_gb:.2f} GB of features of the frozen layers, under {line.views} views"
                if not self._quiet:
                    self.print(f"{item}: {'caches' if line.cached else 'has no memory to cache'} {size}")
                return
            text = f"{item}: epoch {line.epoch} of {line.epochs}"
            if line.loss is not None and math.isfinite(line.loss):  # a member that is solved in one step has none
                text += f", loss {line.loss:.4f}"
            self.update(item, line.epoch or 0, line.epochs, text=text, is_end=line.epoch == line.epochs)

        return on_log

    def download(self) -> Callable[[str, int, int | None], None]:
        """Return a callback that shows downloads, in MB."""

        def on_progress(file: str, done: int, total: int | None) -> None:
            text = f"{file}: {done / 2**20:.1f} MB" + (f" of {total / 2**20:.1f} MB" if total else "")
            self.update(file, done // 2**20, total and total // 2**20, text=text, is_end=done == total)

        return on_progress
