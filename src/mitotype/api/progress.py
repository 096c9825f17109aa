"""Progress of long functions: a context manager that yields a callback for the number of further items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called with a title and the number of items."""


@contextmanager
def no_progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda n: None
