"""Trial: one input in a folder of its own, and the command or function that reads it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Trial:
    """A command line or a function. `out` are the paths that may appear, `may_change` names of files that it may replace."""

    argv: list[str] = field(default_factory=list)
    call: Callable[[], object] | None = None
    out: tuple[Path, ...] = ()
    may_change: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sandbox:
    """The material, which nothing may change, the folder of a trial, and its random numbers."""

    material: Path
    folder: Path
    rng: random.Random

    def copy(self, name: str, to: str = "") -> Path:
        """Return a copy of a file or folder of the material in the folder of the trial."""
        source, target = self.material / name, self.folder / (to or Path(name).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
        return target

    def pick(self, pattern: str) -> Path:
        """Return one file of the material."""
        return self.rng.choice(sorted(self.material.glob(pattern)))

    @property
    def out(self) -> Path:
        return self.folder / "out"


Kind = Callable[[Sandbox], Trial]
