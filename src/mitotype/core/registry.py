"""Registry: the components of one kind by name, filled on first use from a package's files and from entry points."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from mitotype.core import arguments
from mitotype.core.errors import UserError, unknown_name

T = TypeVar("T")
C = TypeVar("C")


class Registry(Generic[T]):
    """Components of one kind, each added by its own file.

    >>> losses: Registry[type[Term]] = Registry("loss", "losses", "mitotype.losses")
    >>> @losses.add("bce")
    ... class Bce(Term): ...

    On first use every file of `package` is imported, then every entry point of the group `mitotype.<plural>`. A component
    from outside the package is added in the same way, by an entry point or a plugin (see `core.plugins`).
    """

    def __init__(self, kind: str, plural: str, package: str) -> None:
        self.kind, self.plural, self.package = kind, plural, package
        self._items: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._is_filled = False

    def add(self, name: str, *, aliases: tuple[str, ...] = ()) -> Callable[[T], T]:
        """Return a decorator that adds a component under `name`. Older names in `aliases` still work, with a warning.

        Raises a UserError for a name that is taken.
        """

        def register(item: T) -> T:
            for new in (name, *aliases):
                if new in self._items or new in self._aliases:
                    raise UserError(
                        f"Two {self.plural} are called '{new}'.", fix="rename the one that is not mitotype's"
                    )
            self._items[name] = item
            self._aliases |= dict.fromkeys(aliases, name)
            return item

        return register

    def _fill(self) -> None:
        if self._is_filled:
            return
        self._is_filled = True
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, self.package + "."):
                importlib.import_module(module.name)
            for entry in entry_points(group=f"mitotype.{self.plural}"):
                self._load(entry)
        except BaseException:
            self._is_filled = False
            raise

    def _load(self, entry: Any) -> None:
        try:
            entry.load()
        except Exception as error:
            what = f"The {self.kind} '{entry.name}' of the installed package '{entry.value}' does not load: {error}."
            raise UserError(what, fix="fix or uninstall that package") from error

    def canonical(self, name: str) -> str:
        """Return the name that stands for an alias, any other name as it is."""
        self._fill()
        return self._aliases.get(name, name)

    def get(self, name: str) -> T:
        """Return the component called `name`. Raises a UserError with the nearest names for an unknown one."""
        self._fill()
        if name in self._aliases:
            new = self._aliases[name]
            warnings.warn(f"the {self.kind} '{name}' is called '{new}' now", FutureWarning, stacklevel=2)
            name = new
        if name not in self._items:
            raise unknown_name(self.kind, name, self._items, f"mitotype {self.plural}")
        return self._items[name]

    def build(self: Registry[type[C]], text: str) -> C:
        """Return the component of a spec with exactly one step, as in "class_balanced(0.4)".

        Raises a UserError for another number of steps, an unknown name or argument, and a value out of its range.
        """
        step = arguments.single_step(text, self.kind, f"mitotype {self.plural}")
        return arguments.build(self.get(step.name), step)

    def names(self) -> list[str]:
        self._fill()
        return sorted(self._items)

    def __contains__(self, name: str) -> bool:
        self._fill()
        return name in self._items or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
