"""What the commands print: results on standard output; the notice, and what reaches the logger "mitotype", on standard error."""

import contextlib
import errno
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from mitotype.core.interrupts import STATUS, Interrupted
from mitotype.core.schema import NOTICE
from mitotype.core.text_tables import printable

LOGGER = logging.getLogger("mitotype")


class _StandardError(logging.Handler):
    """Prints messages as they are. Where standard error is closed or full, the work goes on without it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(printable(record.getMessage()), file=sys.stderr)
        except (OSError, ValueError):
            _discard(sys.stderr)


def show_messages(*, quiet: bool = False) -> None:
    """Print what reaches the logger on standard error; with `quiet` only warnings and errors."""
    if not any(isinstance(handler, _StandardError) for handler in LOGGER.handlers):
        LOGGER.addHandler(_StandardError())
    LOGGER.setLevel(logging.WARNING if quiet else logging.INFO)


def notice(*, quiet: bool = False) -> None:
    """Print the research-use notice, once per command, beside the output; `quiet` is for the messages after it."""
    show_messages()
    info(NOTICE)
    show_messages(quiet=quiet)


def info(text: str) -> None:
    LOGGER.info(text)


def error(text: str) -> None:
    LOGGER.error(text)


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
    LOGGER.error(f"Standard output cannot be written: {error.strerror}.")
    sys.exit(2)


def _discard(stream: Any) -> None:
    """Point a stream that cannot be written at nothing, so that no error follows when Python flushes it at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def exit_interrupted(stop: KeyboardInterrupt) -> NoReturn:
    """Print what is stored and the command that continues, and exit with the status of the signal."""
    interrupt = stop if isinstance(stop, Interrupted) else Interrupted()
    stored = interrupt.stored or "No result was written; what is complete in the caches is stored."
    error(f"Stopped. {stored}\n  continue: {interrupt.command or 'repeat the command'}")
    interrupt.is_reported = True
    sys.exit(interrupt.status)


def notes(texts: Iterable[str]) -> None:
    for text in texts:
        info(f"note: {text}")


def print_json(value: Any) -> None:
    from mitotype.core import records

    print(records.encode(value).decode(), end="")


def command_line() -> str:
    """Return the command as it was typed, with names for paths, so that a report contains no folders of the machine."""
    return "mitotype " + " ".join(Path(arg).name if "/" in arg else arg for arg in sys.argv[1:])


def format_warning(message: Warning | str, category: type[Warning], *_: Any) -> str:
    """Return a warning as one line, without the code that raised it."""
    return printable(f"{category.__name__}: {message}") + "\n"
