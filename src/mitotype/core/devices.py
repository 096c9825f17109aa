"""The device that nets run on. The CPU needs no torch."""

from __future__ import annotations

import re

from mitotype.core import extras
from mitotype.core.errors import UserError


def resolve_device(device: str, *, local: bool = True) -> str:
    """Return the device; "auto" is the GPU if one is available to torch, else the CPU. Raises a UserError for a GPU that is absent."""
    if device == "cpu":
        return device
    if device != "auto" and not re.fullmatch(r"cuda(:\d{1,3})?", device):
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
    number = device.partition(":")[2]
    if local and number and int(number) >= torch.cuda.device_count():
        raise UserError(f"There is no GPU number {number}.", allowed=f"0 to {torch.cuda.device_count() - 1}")
    return device
