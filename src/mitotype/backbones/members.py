"""A member on disk: `member.json` (what it is) and `model.safetensors` (what was trained, in half precision), nothing else."""

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

from mitotype.backbones import adapters, backbones, heads, weights
from mitotype.backbones.classifier import Architecture, Classifier
from mitotype.core import files
from mitotype.core.mistakes import Mistake

WEIGHTS = "model.safetensors"
TOLD = "member.json"
MAIN_HEAD = ("head.weight", "head.bias")
BASES = "bases"  # folder of a bundle that holds the bases which may be shared, each as DIGEST.safetensors


@dataclass(frozen=True)
class Member:
    """One trained classifier: its name, how pictures are framed for it, the net, and the digest of its weights."""

    name: str
    frame: str
    classifier: Classifier
    digest: str


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are kept: floating-point ones in half precision. What is scored is always what was kept.

    The main head stays in float32: on raw embeddings of small spread a probe's weights leave the range of half precision.
    """
    return {
        key: (value.half() if value.is_floating_point() and key not in MAIN_HEAD else value).contiguous()
        for key, value in state.items()
    }


def write(folder: Path, name: str, frame: str, classifier: Classifier, *, more: Mapping[str, Any] | None = None) -> str:
    """Write a member and return the digest of its file. `more` is told beside it (fold, seed, epochs …).

    Only what was trained is kept; the base under it is named by its digest.
    """
    return write_state(folder, name, frame, classifier.architecture, dict(adapters.trained(classifier)), more=more)


def write_state(
    folder: Path,
    name: str,
    frame: str,
    architecture: Architecture,
    trained: Mapping[str, Tensor],
    *,
    more: Mapping[str, Any] | None = None,
) -> str:
    """The same for a member whose trained tensors are known without its net."""
    raw = save(halved(trained))
    digest = files.digest_of(raw)
    with files.atomic(folder / WEIGHTS) as part:
        part.write_bytes(raw)
    told = {
        "name": name,
        "frame": frame,
        "architecture": architecture.plain(),
        "digest": digest,
        **(more or {}),
    }
    files.write_json(folder / TOLD, told)
    return digest


def read(folder: Path, *, device: str = "cpu") -> Member:
    """Read a member; a changed byte, a missing tensor or a strange shape is a Mistake. Nothing in it is executed."""
    told, raw = opened(folder)
    architecture = Architecture.read(told["architecture"])
    near = folder.parent.parent / BASES
    base = weights.known(architecture.backbone, architecture.base, near) if architecture.base else None
    classifier = Classifier(architecture, weights.state(base) if base else None).to(memory_format=torch.channels_last)
    load_state(classifier, raw, str(folder / WEIGHTS))
    return Member(str(told["name"]), str(told["frame"]), classifier.to(device).eval(), str(told["digest"]))


def head(folder: Path) -> torch.nn.Module:
    """The main head of a member alone, for embeddings that are there already."""
    told, raw = opened(folder)
    architecture = Architecture.read(told["architecture"])
    kind, numbers = adapters.read(architecture.adaptation).head
    built = heads.build(kind, backbones.get(architecture.backbone).facts.pooling[architecture.pooling], **numbers)
    state = {key: value.float() for key, value in load(raw).items() if key.startswith("head.")}
    built.load_state_dict({key.removeprefix("head."): value for key, value in state.items()})
    return built.eval()


def opened(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What a member tells of itself, and its weights as bytes whose digest was checked."""
    told = files.read_json(folder / TOLD, what="member")
    path = folder / WEIGHTS
    if not path.is_file():
        raise Mistake(f"There are no weights at '{path}'.", fix="restore the folder from a copy, or train again")
    raw = path.read_bytes()
    if not isinstance(told, dict) or files.digest_of(raw) != told.get("digest"):
        raise Mistake(
            f"The weights '{path}' are not those that were written: their digest differs.",
            fix="restore the file from a copy",
        )
    return told, raw


def load_state(classifier: Classifier, raw: bytes, where: str) -> None:
    """Fill what was trained of a classifier from safetensors bytes: exactly those tensors, in their shapes."""
    try:
        state = {key: value.float() if value.is_floating_point() else value for key, value in load(raw).items()}
        wanted = {name for name, _ in adapters.trained(classifier)}
        if state.keys() != wanted:
            strange = sorted(state.keys() ^ wanted)
            raise KeyError(f"{len(strange)} tensors are missing or unknown, '{strange[0]}' first")
        classifier.load_state_dict(state, strict=False)
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
