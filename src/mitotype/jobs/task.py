"""Task: one call of a function on behalf of a group, and what it needs of a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitotype.core.errors import UserError
from mitotype.core.run_layout import OnLog


@dataclass(frozen=True)
class Resources:
    """The device and the processor threads that a task uses."""

    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Task:
    """One call `function(*args)` for the folder `group`; `name` is what messages call it.

    The function is one of a module, since it travels to other processes by its name. It may be called twice, and it appends
    its log to `log.jsonl` in the folder. In this process it gets a callback for the same lines as a last argument.
    """

    group: Path
    name: str
    function: Callable[..., None]
    args: tuple[Any, ...] = ()
    resources: Resources = Resources()


@dataclass(frozen=True)
class GroupFinished:
    """A group whose tasks have all ended; `error` is the first that one of them raised."""

    group: Path
    error: UserError | None = None


@dataclass(frozen=True)
class Callbacks:
    """`on_log` receives every line that a task logs, `on_done` the number of tasks that ended since its last call."""

    on_log: OnLog = lambda line: None
    on_done: Callable[[int], None] = lambda count: None
