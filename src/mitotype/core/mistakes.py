"""Mistake: what the user can mend. It prints what was asked, what was found, what is near, and the command that mends it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class Mistake(Exception):
    """The user can mend this. The door prints it without a traceback and exits with 2.

    `what` is one sentence that names the thing asked for and what was found; `nearest` and `allowed` are what could
    have been meant; `fix` is a command or a deed; `code` is the check's code (M001 …) where there is one.
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


def unknown(kind: str, name: str, names: Iterable[str], see: str) -> Mistake:
    """The Mistake for a name that is on no shelf: `unknown("backbone", "uni-2h", shelf, "mitotype backbones")`."""
    known = sorted(names)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    shown = name if len(name) <= 60 else name[:57] + "…"
    return Mistake(f"No {kind} is called '{shown}'.", nearest=", ".join(near) or None, fix=f"see them all: {see}")


@dataclass
class Collector:
    """Gathers mistakes so that they are told together, at most `show` of them in full."""

    show: int = 20
    found: list[Mistake] = field(default_factory=list)

    @contextmanager
    def note(self) -> Iterator[None]:
        """Run a block; a Mistake inside it is kept and the work goes on."""
        try:
            yield
        except Mistake as mistake:
            self.found.append(mistake)

    def add(self, mistake: Mistake) -> None:
        self.found.append(mistake)

    def settle(self) -> None:
        """Raise what was gathered: the one Mistake itself, or one that lists them all. Nothing gathered: nothing happens."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            told = [f"- {m}" for m in self.found[: self.show]]
            if len(self.found) > self.show:
                told.append(f"- and {len(self.found) - self.show} more")
            raise Mistake(f"{len(self.found)} things need mending:\n" + "\n".join(told))
