"""Shelf: the components of one room by name. Filled by a scan of the room's folder on first use and by entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from mitotype.core.mistakes import Mistake, unknown

T = TypeVar("T")


class Shelf(Generic[T]):
    """Components of one kind, each added by its own file.

    >>> losses: Shelf[Loss] = Shelf("loss", "losses", "mitotype.losses")
    >>> @losses.add("bce")
    ... class Bce: ...

    The folder of `package` is imported file by file when a name is first asked for, then every entry point of the group
    `mitotype.<plural>`: a component from outside goes through the same door. A name taken twice is an error.
    """

    def __init__(self, kind: str, plural: str, package: str) -> None:
        self.kind, self.plural, self.package = kind, plural, package
        self._items: dict[str, T] = {}
        self._filled = False

    def add(self, name: str) -> Callable[[T], T]:
        """Decorator that puts the decorated thing on the shelf under `name` and returns it unchanged."""

        def put(item: T) -> T:
            if name in self._items:
                raise ValueError(f"two {self.plural} are called '{name}'")
            self._items[name] = item
            return item

        return put

    def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True
        room = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(room.__path__, self.package + "."):
            importlib.import_module(module.name)
        for entry in entry_points(group=f"mitotype.{self.plural}"):
            try:
                entry.load()
            except Exception as error:
                raise Mistake(
                    f"The {self.kind} '{entry.name}' of the installed package '{entry.value}' does not load: {error}.",
                    fix="mend or uninstall that package",
                ) from error

    def get(self, name: str) -> T:
        """The component called `name`, or a Mistake that names the nearest."""
        self._fill()
        if name not in self._items:
            raise unknown(self.kind, name, self._items, f"mitotype {self.plural}")
        return self._items[name]

    def names(self) -> list[str]:
        self._fill()
        return sorted(self._items)

    def __contains__(self, name: str) -> bool:
        self._fill()
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
