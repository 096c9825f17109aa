"""Doctor: checks of this machine, each with its result and, if it fails, with a fix."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mitotype.core.cache import cache_dir
from mitotype.core.cpu_limit import cpu_limit
from mitotype.core.run_layout import read_bundle
from mitotype.deploy import bundle

LIBRARIES = ("onnxruntime", "numpy", "scikit-image", "pandas", "pillow")
OPTIONAL = {
    "scikit-learn": "evaluate",
    "pyarrow": "evaluate",
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "peft": "train",
}
MIN_FREE_GB = 2.0


@dataclass(frozen=True)
class Check:
    """One check. `required` means that mitotype does not work without it."""

    name: str
    ok: bool
    result: str
    fix: str = ""
    required: bool = False


def check_machine() -> list[Check]:
    """Return every check of the machine, in the order in which to fix them."""
    libraries = [_check_library(name) for name in LIBRARIES]
    optional = [_check_optional(name, extra) for name, extra in OPTIONAL.items()]
    of_torch = [_check_torchvision(), *_check_processors()] if find_spec("torch") else []
    return [_check_python(), *libraries, *optional, *of_torch, _check_disk(), *_check_bundles()]


def run_check(name: str, function: Callable[[], str], fix: str, *, required: bool = True) -> Check:
    """Return a check from a function that returns its result; an exception is a failure."""
    try:
        return Check(name, True, function(), required=required)
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0], fix, required=required)


def _check_python() -> Check:
    is_new = sys.version_info >= (3, 11)
    return Check("Python", is_new, platform.python_version(), "install Python 3.11 or newer", required=True)


def _check_library(name: str) -> Check:
    try:
        return Check(name, True, version(name), required=True)
    except PackageNotFoundError:
        return Check(name, False, "not installed", f"pip install {name}", required=True)


def _check_optional(name: str, extra: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed; classification does not need it", f'pip install "mitotype[{extra}]"')


def _check_torchvision() -> Check:
    def load_operators() -> str:
        torch, torchvision = import_module("torch"), import_module("torchvision")
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        return "torchvision's operators load"

    fix = "install both together: pip install --upgrade torch torchvision"
    return run_check("torch and torchvision match", load_operators, fix)


def _check_processors() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        memory_gb = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Check("GPU", True, f"{torch.cuda.get_device_name(0)}, {memory_gb:.0f} GB")
    else:
        fix = "classification needs none; training on a CPU is slower"
        yield Check("GPU", False, "none is visible to torch", fix)
    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    yield Check(
        "CPU",
        True,
        f"{os.cpu_count()} cores, {cpu_limit()} of them for this process, torch uses {threads} threads, {capability}",
    )


def _check_disk() -> Check:
    folder = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    free_gb = shutil.disk_usage(folder).free / 2**30
    fix = "free some space, or set XDG_CACHE_HOME"
    return Check("disk of the cache", free_gb >= MIN_FREE_GB, f"{free_gb:.1f} GB free at {cache_dir()}", fix)


def _check_bundles() -> Iterator[Check]:
    def read(folder: Path) -> str:
        return f"{len(read_bundle(folder).members)} members, every digest matches"

    for name, folder in bundle.shipped().items():
        yield run_check(f"shipped bundle '{name}'", partial(read, folder), "install mitotype again")
    if not bundle.shipped():
        fix = "install a release, or train one: mitotype train default"
        yield Check("shipped bundle", False, "none in this package", fix)
