"""Interrupts: Ctrl-C, SIGTERM and a closed terminal end a command with one line: what is stored, and the command that continues."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from mitotype.core.errors import WriteError

STATUS = 128  # of a shell, plus the number of the signal


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command. `stored` is what is on disk, `command` what continues from there."""

    def __init__(self, number: int = signal.SIGINT, stored: str = "", command: str = "") -> None:
        self.number, self.stored, self.command = number, stored, command
        self.is_reported = False
        super().__init__()

    @property
    def status(self) -> int:
        return STATUS + self.number


def unreported(error: BaseException) -> Interrupted | None:
    """Return the interrupt that led to an error, if it was not reported yet."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Interrupted):
            return None if cause.is_reported else cause
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def raised_signals() -> Iterator[None]:
    """Raise Interrupted for SIGINT, SIGTERM and SIGHUP while the block runs; a second one ends the process at once.

    A second SIGHUP is ignored: a terminal that is closed sends one, and the shell in it may send another.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous: dict[int, Any] = {}

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in previous:
            signal.signal(other, signal.SIG_IGN if other == getattr(signal, "SIGHUP", None) else signal.SIG_DFL)
        raise Interrupted(number)

    try:
        with suppress(ValueError):  # not in the main thread
            for number in numbers:
                if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                    previous[number] = signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Deliver signals after the block. Processes that are started inside never receive SIGINT: their parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@contextmanager
def continued_by(command: str, stored: str) -> Iterator[None]:
    """Add to an interrupt and to a WriteError of the block what is stored and the command that continues.

    Of nested blocks the outermost counts.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
        raise Interrupted(number, stored, command) from None
    except WriteError as error:
        error.continue_with(command)
        raise
