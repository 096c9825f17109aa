"""Doctor: what works on this machine, each check with what to do where it does not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "torchvision", "timm", "peft", "scikit-learn", "scikit-image", "pandas", "pyarrow", "pillow")
ROOM_GB = 2.0


@dataclass(frozen=True)
class Check:
    """One finding. `must` says that mitotype does not work without it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    must: bool = False


def examine() -> list[Check]:
    """Every check, in the order in which one would mend things."""
    return [_python(), *(_library(name) for name in LIBRARIES), _pair(), _gpu(), _processor(), _disk(), *_shipped()]


def _python() -> Check:
    return Check(
        "Python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer", must=True
    )


def _library(name: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed", f"pip install {name}", must=True)


def tried(name: str, work: Callable[[], str], fix: str, must: bool) -> Check:
    """A check that is a piece of work; whatever it raises is what was found."""
    try:
        return Check(name, True, work())
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0], fix, must)


def _pair() -> Check:
    def work() -> str:
        torch, torchvision = import_module("torch"), import_module("torchvision")
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        return "torchvision's operators load"

    return tried(
        "torch and torchvision fit", work, "install both together: pip install --upgrade torch torchvision", must=True
    )


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check(
            "GPU", False, "none is seen by torch", "none is needed to classify; training on two cores is slower"
        )
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 2**30
    return Check("GPU", True, f"{torch.cuda.get_device_name(0)}, {memory_gb:.0f} GB")


def _processor() -> Check:
    import torch

    return Check(
        "processor",
        True,
        f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
    )


def _disk() -> Check:
    from mitotype.core.pictures import cache_folder

    place = next(folder for folder in (cache_folder(), *cache_folder().parents) if folder.exists())
    free_gb = shutil.disk_usage(place).free / 2**30
    return Check(
        "disk of the cache",
        free_gb >= ROOM_GB,
        f"{free_gb:.1f} GB free at {cache_folder()}",
        "free some space, or set XDG_CACHE_HOME",
    )


def _shipped() -> list[Check]:
    from mitotype.deploy import bundle

    def whole(folder: Path) -> Callable[[], str]:
        return lambda: f"{len(bundle.read(folder)['members'])} members, every digest right"

    found = bundle.shipped()
    if not found:
        return [
            Check(
                "shipped bundle",
                False,
                "none in this package",
                "install a release, or train one: mitotype train default",
            )
        ]
    return [
        tried(f"shipped bundle '{name}'", whole(folder), "install mitotype again", must=True)
        for name, folder in found.items()
    ]
