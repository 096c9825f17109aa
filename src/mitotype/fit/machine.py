"""Machine: what a run is trained on, chosen once, written down, and taken up again when it resumes."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mitotype.core.mistakes import Mistake
from mitotype.fit.recipe import Recipe

MOST_WORKERS = 8  # each holds torch and its own copy of the net
LIBRARIES = ("mitotype", "torch", "torchvision", "timm", "numpy", "scikit-learn", "scikit-image", "pillow")


def told(recipe: Recipe, device: str, members: int) -> dict[str, Any]:
    """Device, precision, workers, threads of each, machine and versions, as run.json keeps them.

    On a CPU as many members are trained at once as torch has threads: one thread each is the best use of few cores.
    """
    device = choose(device)
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


def choose(device: str) -> str:
    """ "auto" is the GPU where torch sees one, else the CPU. A GPU that is asked for and absent is a Mistake."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Mistake("No GPU is seen by torch here.", fix="use --device cpu, or see: mitotype doctor")
    if device != "cpu" and not device.startswith("cuda"):
        raise Mistake(f"There is no device '{device}'.", allowed="auto, cpu, cuda, cuda:1 …")
    return device


def as_told(run: dict[str, Any]) -> None:
    """Take up a run's threads, on which the order of sums depends; its device must be here."""
    choose(run["device"])
    torch.set_num_threads(int(run["threads"]))


DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype(run: Mapping[str, Any]) -> torch.dtype | None:
    return DTYPES[run["precision"]]


def _wants_bf16(recipe: Recipe, device: str) -> bool:
    return recipe.precision == "bf16" or (recipe.precision == "auto" and (device.startswith("cuda") or has_amx()))


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
    return torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else None
