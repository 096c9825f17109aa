"""Machine: what a run is trained on, chosen once, written down, and taken up again when it resumes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mitotype.core.mistakes import Mistake
from mitotype.fit.recipe import Recipe

MOST_WORKERS = 8  # each holds torch and its own copy of the net
LIBRARIES = ("mitotype", "torch", "torchvision", "timm", "numpy", "scikit-learn", "scikit-image", "pillow")


def told(recipe: Recipe, device: str, members: int, *, here: bool = True) -> dict[str, Any]:
    """Device, precision, workers, threads of each, machine and versions, as run.json keeps them.

    On a CPU as many members are trained at once as torch has threads: one thread each is the best use of few cores. Where
    `here` is False another machine trains, so a GPU that is asked for need not be seen by this one.
    """
    device = choose(device, here=here)
    workers = min(torch.get_num_threads(), members, MOST_WORKERS) if device == "cpu" else 1
    return {
        "device": device,
        "precision": "bf16" if _wants_bf16(recipe, device) else "fp32",
        "workers": workers,
        "threads": max(1, torch.get_num_threads() // workers),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "gpu": gpu(device), "system": platform.system(),
                    "python": platform.python_version()},
        "versions": {name: version(name) for name in LIBRARIES},
    }  # fmt: skip


def choose(device: str, *, here: bool = True) -> str:
    """ "auto" is the GPU where torch sees one, else the CPU. A GPU that is asked for `here` and absent is a Mistake."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise Mistake(f"There is no device '{device}'.", allowed="auto, cpu, cuda, cuda:1 …")
    if here and device.startswith("cuda") and not torch.cuda.is_available():
        raise Mistake("No GPU is seen by torch here.", fix="use --device cpu, or see: mitotype doctor")
    return device


def as_told(run: Mapping[str, Any]) -> None:
    """Take up a run's threads, on which the order of sums depends."""
    torch.set_num_threads(int(run["threads"]))


def nearest(run: Mapping[str, Any]) -> str:
    """The device of a run where it is here, else the CPU: for what no training depends on."""
    return str(run["device"]) if torch.cuda.is_available() else "cpu"


@contextmanager
def memory(recipe: Recipe, device: str) -> Iterator[None]:
    """Memory of a GPU that does not suffice inside is a Mistake that says how to need less."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        what = f"The memory of '{device}' does not suffice for {recipe.backbone} with a batch of {recipe.batch}."
        parts = f"a batch in parts: accumulate={2 * recipe.accumulate}"
        fix = f"train anew with --set: {parts}; activations made again: recompute=1; a smaller batch: batch={recipe.batch // 2}"
        raise Mistake(what, fix=fix) from error


DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype(run: Mapping[str, Any]) -> torch.dtype | None:
    return DTYPES[run["precision"]]


def _wants_bf16(recipe: Recipe, device: str) -> bool:
    """A GPU that is not seen here is taken for one that multiplies bf16."""
    if recipe.precision != "auto":
        return recipe.precision == "bf16"
    if device == "cpu":
        return has_amx()
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def has_amx() -> bool:
    """Whether the processor multiplies bf16 matrices in hardware; without that, bf16 on a CPU is slower than float32."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gpu(device: str) -> str | None:
    """The name of the GPU, None for a CPU and where it is not seen here."""
    seen = device.startswith("cuda") and torch.cuda.is_available()
    return torch.cuda.get_device_name(torch.device(device)) if seen else None
