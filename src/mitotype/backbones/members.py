"""A member on disk: `member.json` (what it is) and `model.safetensors` (half precision weights), nothing else."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from mitotype.backbones.classifier import Architecture, Classifier
from mitotype.core import files
from mitotype.core.mistakes import Mistake

WEIGHTS = "model.safetensors"
TOLD = "member.json"


@dataclass(frozen=True)
class Member:
    """One trained classifier: its name, how pictures are framed for it, the net, and the digest of its weights."""

    name: str
    frame: str
    classifier: Classifier
    digest: str


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are kept: floating-point ones in half precision. What is scored is always what was kept."""
    return {key: (value.half() if value.is_floating_point() else value).contiguous() for key, value in state.items()}


def write(folder: Path, name: str, frame: str, classifier: Classifier, *, more: Mapping[str, Any] | None = None) -> str:
    """Write a member and return the digest of its weights file. `more` is told beside it (fold, seed, epochs …)."""
    raw = save(halved(classifier.state_dict()))
    digest = files.digest_of(raw)
    with files.atomic(folder / WEIGHTS) as part:
        part.write_bytes(raw)
    told = {
        "name": name,
        "frame": frame,
        "architecture": classifier.architecture.plain(),
        "digest": digest,
        **(more or {}),
    }
    files.write_json(folder / TOLD, told)
    return digest


def read(folder: Path, *, device: str = "cpu") -> Member:
    """Read a member; a changed byte, a missing tensor or a strange shape is a Mistake. Nothing in it is executed."""
    told = files.read_json(folder / TOLD, what="member")
    path = folder / WEIGHTS
    if not path.is_file():
        raise Mistake(f"There are no weights at '{path}'.", fix="restore the folder from a copy, or train again")
    raw = path.read_bytes()
    digest = files.digest_of(raw)
    if not isinstance(told, dict) or digest != told.get("digest"):
        raise Mistake(
            f"The weights '{path}' are not those that were written: their digest differs.",
            fix="restore the file from a copy",
        )
    classifier = Classifier(Architecture.read(told["architecture"])).to(memory_format=torch.channels_last)
    load_state(classifier, raw, str(path))
    return Member(str(told["name"]), str(told["frame"]), classifier.to(device).eval(), digest)


def load_state(classifier: torch.nn.Module, raw: bytes, where: str) -> None:
    """Fill a classifier from safetensors bytes, strictly."""
    try:
        state = load(raw)
        classifier.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
    except (RuntimeError, ValueError, json.JSONDecodeError, struct.error, KeyError) as error:
        raise Mistake(
            f"'{where}' does not fit the net it is for: {str(error).splitlines()[0]}.",
            fix="check which net the weights belong to",
        ) from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):
            raise Mistake(
                f"'{where}' is not a whole safetensors file: {error}.", fix="restore it from a copy"
            ) from error
        raise
