"""The environment of a run: device, precision, workers, threads and versions, written to run.json and restored on resume."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from mitotype.core.errors import UserError
from mitotype.core.run_layout import Machine, RunRecord
from mitotype.fit.recipe import Recipe

MAX_WORKERS = 8  # each has its own torch and net in memory
LIBRARIES = ("mitotype", "torch", "torchvision", "timm", "numpy", "scikit-learn", "scikit-image", "pillow")
DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Environment:
    """Device, precision, workers, threads of each, machine and versions, as run.json stores them."""

    device: str
    precision: str
    workers: int
    threads: int
    machine: Machine
    versions: dict[str, str]


def describe(recipe: Recipe, device: str, n_members: int, *, local: bool = True) -> Environment:
    """Return the environment of a run.

    On a CPU as many members are trained at once as torch has threads: one thread each uses few cores best. Where `local` is
    False another machine trains, so that this one may lack the GPU.
    """
    device = resolve_device(device, local=local)
    workers = min(torch.get_num_threads(), n_members, MAX_WORKERS) if device == "cpu" else 1
    return Environment(
        device=device,
        precision="bf16" if _uses_bf16(recipe, device) else "fp32",
        workers=workers,
        threads=max(1, torch.get_num_threads() // workers),
        machine=Machine(
            processor=processor(),
            cores=os.cpu_count(),
            gpu=gpu_name(device),
            system=platform.system(),
            python=platform.python_version(),
        ),
        versions={name: version(name) for name in LIBRARIES},
    )


def resolve_device(device: str, *, local: bool = True) -> str:
    """Return the device; "auto" is the GPU if torch sees one, else the CPU. Raises a UserError for a GPU that is absent."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise UserError(f"There is no device '{device}'.", allowed="auto, cpu, cuda, cuda:1 …")
    if local and device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("No GPU is visible to torch on this machine.", fix="use --device cpu, or see: mitotype doctor")
    return device


def fallback_device(record: RunRecord) -> str:
    """Return the device of a run if this machine has it, else the CPU: for steps on which no training depends."""
    return record.device if torch.cuda.is_available() else "cpu"


@contextmanager
def explain_out_of_memory(recipe: Recipe, device: str) -> Iterator[None]:
    """Turn an out-of-memory error of the GPU inside the block into a UserError that lists ways to need less."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        fix = (
            f"train anew with --set grad_accum_steps={2 * recipe.grad_accum_steps} (a batch in parts), grad_checkpointing=1"
            f" (activations recomputed) or batch={recipe.batch // 2}"
        )
        raise UserError(
            f"Out of GPU memory on '{device}' for {recipe.backbone} with batch={recipe.batch}.", fix=fix
        ) from error


def _uses_bf16(recipe: Recipe, device: str) -> bool:
    """Return whether to train in bf16; a GPU of another machine is assumed to support it."""
    if recipe.precision != "auto":
        return recipe.precision == "bf16"
    if device == "cpu":
        return has_amx()
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def has_amx() -> bool:
    """Return whether the CPU multiplies bf16 matrices in hardware; without that, bf16 is slower than float32."""
    return "amx_bf16" in _cpuinfo()


def processor() -> str:
    models = [line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _cpuinfo() -> str:
    """Return the description of the processors on Linux, "" on other systems."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def gpu_name(device: str) -> str | None:
    """Return the name of the GPU, None for a CPU and for a GPU of another machine."""
    is_visible = device.startswith("cuda") and torch.cuda.is_available()
    return torch.cuda.get_device_name(torch.device(device)) if is_visible else None
