"""What the commands print: the notice, notes, JSON, and progress as bars on a terminal and as lines elsewhere."""

import contextlib
import errno
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mitotype.core import records
from mitotype.core.interrupts import STATUS, Interrupted
from mitotype.core.schema import NOTICE
from mitotype.core.text_tables import printable

if TYPE_CHECKING:
    from mitotype.core.run_layout import LogLine, OnLog

LOG_EVERY_S = 10.0  # between two lines of progress without a terminal


def notice() -> None:
    """Print the research-use notice, once per command, beside the output."""
    info(NOTICE)


def info(text: str) -> None:
    """Print text on standard error. Where that is closed or full, the work goes on without it."""
    try:
        print(printable(text), file=sys.stderr)
    except (OSError, ValueError):
        _discard(sys.stderr)


def show(text: str) -> None:
    """Print text on standard output."""
    print(printable(text))


def interruptible(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command that ends an interrupt with a line, and a closed standard output quietly."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
            flush()
        except KeyboardInterrupt as stop:
            exit_interrupted(stop)
        except OSError as error:
            if error.filename is None and error.errno in (
                errno.EPIPE,
                errno.ENOSPC,
                errno.EIO,
                errno.EBADF,
            ):  # files name themselves
                exit_without_output(error)
            raise

    return command


def flush() -> None:
    """Write what standard output still holds. Python would report a failure of that after the end, with a traceback."""
    if sys.stdout is not None:  # it was closed
        sys.stdout.flush()


def exit_without_output(error: OSError) -> NoReturn:
    """Exit where standard output cannot be written: quietly, where its reader has left."""
    _discard(sys.stdout)
    if isinstance(error, BrokenPipeError):
        sys.exit(STATUS + 13)  # of SIGPIPE
    info(f"Standard output cannot be written: {error.strerror}.")
    sys.exit(2)


def _discard(stream: Any) -> None:
    """Point a stream that cannot be written at nothing, so that no error follows when Python flushes it at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def exit_interrupted(stop: KeyboardInterrupt) -> NoReturn:
    """Print what is stored and the command that continues, and exit with the status of the signal."""
    interrupt = stop if isinstance(stop, Interrupted) else Interrupted()
    stored = interrupt.stored or "No result was written; what is complete in the caches is stored."
    info(f"Stopped. {stored}\n  continue: {interrupt.command or 'repeat the command'}")
    interrupt.is_reported = True
    sys.exit(interrupt.status)


def notes(texts: Iterable[str]) -> None:
    for text in texts:
        note(text)


def note(text: str) -> None:
    info(f"note: {text}")


def print_json(value: Any) -> None:
    print(records.encode(value).decode(), end="")


def command_line() -> str:
    """Return the command as it was typed, with names for paths, so that a report contains no folders of the machine."""
    return "mitotype " + " ".join(Path(arg).name if "/" in arg else arg for arg in sys.argv[1:])


def format_warning(message: Warning | str, category: type[Warning], *_: Any) -> str:
    """Return a warning as one line, without the code that raised it."""
    return printable(f"{category.__name__}: {message}") + "\n"


class ProgressDisplay:
    """Progress of several items: bars on a terminal; elsewhere a line every LOG_EVERY_S seconds and at the end of an item."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._last_s = time.monotonic()

    def __enter__(self) -> "ProgressDisplay":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            text = TextColumn("{task.description}", markup=False)
            columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars:
            self._bars.stop()

    def print(self, text: str) -> None:
        """Print a line that stays."""
        self._bars.console.print(printable(text), markup=False, highlight=False) if self._bars else info(text)
        self._last_s = time.monotonic()

    def update(self, item: str, done: int, total: int | None, *, text: str = "", is_end: bool = False) -> None:
        """Show that `done` of `total` (None: unknown) of an item is done. `text` replaces the default line.

        With `is_end` the line stays and the bar of the item goes.
        """
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


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show one bar; the yielded function receives the number of further items."""
    with ProgressDisplay() as display:
        yield display.counter(title, total)


def log_training(display: ProgressDisplay) -> "OnLog":
    """Return a callback that shows the log lines of training: one item for each member, with its epochs."""

    def on_log(line: "LogLine") -> None:
        name = f"{line.cell}, {line.member}" if line.cell else line.member
        item = f"member {line.job} of {line.jobs} ({name})"
        if line.cache_gb is not None:
            size = f"{line.cache_gb:.2f} GB of features of the frozen layers, under {line.views} views"
            display.print(f"{item}: {'caches' if line.cached else 'has no memory to cache'} {size}")
            return
        text = f"{item}: epoch {line.epoch} of {line.epochs}"
        if line.loss is not None and math.isfinite(line.loss):  # a member that is solved in one step has none
            text += f", loss {line.loss:.4f}"
        display.update(item, line.epoch or 0, line.epochs, text=text, is_end=line.epoch == line.epochs)

    return on_log


def log_download(display: ProgressDisplay) -> Callable[[str, int, int | None], None]:
    """Return a callback that shows downloads, in MB."""

    def on_progress(file: str, done: int, total: int | None) -> None:
        text = f"{file}: {done / 2**20:.1f} MB" + (f" of {total / 2**20:.1f} MB" if total else "")
        display.update(file, done // 2**20, total and total // 2**20, text=text, is_end=done == total)

    return on_progress
