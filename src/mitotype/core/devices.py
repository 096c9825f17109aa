"""The device that nets run on. The CPU needs no torch."""

from __future__ import annotations

from mitotype.core import extras
from mitotype.core.errors import UserError


def resolve_device(device: str, *, local: bool = True) -> str:
    """Return the device; "auto" is the GPU if torch sees one, else the CPU. Raises a UserError for a GPU that is absent."""
    if device == "cpu":
        return device
    if device != "auto" and not device.startswith("cuda"):
        raise UserError(f"There is no device '{device}'.", allowed="auto, cpu, cuda, cuda:1 …")
    try:
        with extras.translated():
            import torch
    except UserError:
        if device == "auto":
            return "cpu"
        raise
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if local and not torch.cuda.is_available():
        raise UserError(
            "No GPU is visible to torch on this machine.",
            fix="use --device cpu (so does resume), or see: mitotype doctor",
        )
    return device
