"""UserError: an error that the user can fix. Its message has the problem, the value, what is near or allowed, and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MAX_SHOWN_NAMES = 12


class UserError(Exception):
    """An error that the user can fix; the command line prints it without a traceback and exits with status 2.

    `what` is one line with the problem and the value; `nearest` and `allowed` are what could have been meant; `fix` is a
    command or an action; `code` is that of a check on method (M001 …).
    """

    def __init__(
        self,
        what: str,
        *,
        nearest: str | None = None,
        allowed: str | None = None,
        fix: str | None = None,
        code: str | None = None,
    ) -> None:
        self.what, self.nearest, self.allowed, self.fix, self.code = what, nearest, allowed, fix, code
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.code}: {self.what}" if self.code else self.what
        if self.nearest:
            head += f" Nearest: {self.nearest}."
        lines = [head]
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.fix:
            lines.append(f"  {self.fix}")
        return "\n".join(lines)


class WriteError(UserError):
    """A file that could not be written: `remedy` is what the user does about it, before the command is repeated."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(what, fix=f"{remedy}, then repeat the command" if remedy else "repeat the command")

    def continue_with(self, command: str) -> None:
        """Name the command that continues, in place of the same one again."""
        self.fix = f"{self.remedy}, then {command}" if self.remedy else command


def unknown_name(kind: str, name: str, names: Iterable[str], see: str) -> UserError:
    """Return the error for an unregistered name: `unknown_name("backbone", "uni-2h", backbones, "mitotype backbones")`."""
    registered = sorted(names)
    near = difflib.get_close_matches(name, registered, n=3, cutoff=0.5)
    shown = name if len(name) <= 60 else name[:57] + "…"
    few = ", ".join(registered) if registered and not near and len(registered) <= MAX_SHOWN_NAMES else None
    what = f"No {kind} is called '{shown}'."
    return UserError(what, nearest=", ".join(near) or None, allowed=few, fix=f"see them all: {see}")


@dataclass
class ErrorCollector:
    """Collects errors so that they are raised together; at most `max_shown` are printed in full."""

    max_shown: int = 20
    errors: list[UserError] = field(default_factory=list)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Run a block; a UserError raised inside it is collected and execution continues after the block."""
        try:
            yield
        except UserError as error:
            self.errors.append(error)

    def add(self, error: UserError) -> None:
        self.errors.append(error)

    def raise_if_any(self) -> None:
        """Raise the collected error, or one error that lists them all; return if there is none."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            lines = [f"- {error}" for error in self.errors[: self.max_shown]]
            if len(self.errors) > self.max_shown:
                lines.append(f"- and {len(self.errors) - self.max_shown} more")
            raise UserError(f"{len(self.errors)} errors:\n" + "\n".join(lines))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, of at most 200 characters; the name of its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
