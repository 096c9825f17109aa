"""The environment of a run: device, precision, workers, threads and versions, written to run.json and restored on resume."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import torch

from mitotype.core.devices import resolve_device
from mitotype.core.errors import UserError
from mitotype.core.run_layout import Machine, RunRecord
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.loss_scaling import check_precision

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
    check_precision(recipe, device)
    workers = min(torch.get_num_threads(), n_members, MAX_WORKERS) if device == "cpu" else 1
    return Environment(
        device=device,
        precision=_precision(recipe, device),
        workers=workers,
        threads=max(1, torch.get_num_threads() // workers),
        machine=_machine(device),
        versions={name: version(name) for name in LIBRARIES},
    )


def _machine(device: str) -> Machine:
    return Machine(
        processor=processor(),
        cores=os.cpu_count(),
        gpu=gpu_name(device),
        system=platform.system(),
        python=platform.python_version(),
    )


def resumed(record: RunRecord, device: str | None = None) -> RunRecord:
    """Return the record of a run that goes on, on `device` if that is given; its notes name what is not as it was.

    Each new note is a warning too: on another device or with other libraries numbers differ in their last digits.
    """
    notes = []
    if device is not None and (device := resolve_device(device)) != record.device:
        notes.append(f"begun on {record.device}, continued on {device}")
        record = msgspec.structs.replace(record, device=device, machine=_machine(device))
    old = record.versions | {"Python": record.machine.python}
    new = {name: installed_version(name) for name in record.versions} | {"Python": platform.python_version()}
    changed = [f"{name} {old[name]}, continued with {new[name]}" for name in old if old[name] != new[name]]
    if changed:
        notes.append(f"begun with {'; '.join(changed)}")
    notes = [note for note in notes if note not in record.notes]
    for note in notes:
        warnings.warn(f"The run was {note}: its numbers may differ from those of a run on one.", stacklevel=2)
    return msgspec.structs.replace(record, notes=[*record.notes, *notes])


def installed_version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


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


def _precision(recipe: Recipe, device: str) -> str:
    """Return the precision to train in; a GPU of another machine is assumed to support bf16."""
    if recipe.precision != "auto":
        return recipe.precision
    if device == "cpu":
        return "bf16" if has_amx() else "fp32"
    has_bf16 = not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_bf16 else "fp32"


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
