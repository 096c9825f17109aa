"""The files of a member: `member.json` (its record) and `model.safetensors` (what was trained, in half precision)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, channels_last, nn

from mitotype.backbones import weights
from mitotype.backbones.adaptations import adaptations, trained_tensors
from mitotype.backbones.classifier import Architecture, Classifier
from mitotype.backbones.model_spec import backbones
from mitotype.core import files, records, run_layout
from mitotype.core.errors import UserError
from mitotype.core.run_layout import MemberRecord, names

MAIN_HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True)
class Member:
    """One trained classifier: its name, the frame of its images, the net, and the digest of its weights."""

    name: str
    frame: str
    classifier: Classifier
    digest: str


def to_half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return floating-point weights in half precision, as they are stored and scored.

    The main head stays in float32: on raw embeddings with a small standard deviation a probe's weights overflow float16.
    """
    return {
        key: (value.half() if value.is_floating_point() and key not in MAIN_HEAD else value).contiguous()
        for key, value in state.items()
    }


def write_member(member_dir: Path, name: str, frame: str, classifier: Classifier, **fields: Any) -> str:
    """Write a member and return the digest of its weights; `fields` are further ones of its record (fold, seed, epochs …).

    Only what was trained is written. The base is named by its digest.
    """
    trained = dict(trained_tensors(classifier))
    return write_tensors(member_dir, name, frame, classifier.architecture, trained, **fields)


def write_tensors(
    member_dir: Path, name: str, frame: str, architecture: Architecture, trained: Mapping[str, Tensor], **fields: Any
) -> str:
    """Write a member from its trained tensors, without its net."""
    raw = save(to_half(trained))
    record = MemberRecord(name=name, frame=frame, architecture=architecture, digest=files.digest_of(raw), **fields)
    files.write_bytes(member_dir / names.WEIGHTS, raw)
    records.write(member_dir / names.MEMBER, record)
    return record.digest


def read_member(member_dir: Path, *, device: str = "cpu") -> Member:
    """Return a member. Raises a UserError for a changed byte, a missing tensor or a wrong shape; no code in it is run."""
    record, raw = run_layout.read_weights(member_dir)
    architecture = architecture_of(record, member_dir)
    base_state = None
    if architecture.base:
        bases_dir = member_dir.parent.parent / names.BASES
        base = weights.find_by_digest(architecture.backbone, architecture.base, bases_dir)
        base_state = weights.read_state_dict(base)
    classifier = Classifier(architecture, base_state).to(memory_format=channels_last)
    load_state(classifier, raw, str(member_dir / names.WEIGHTS))
    return Member(record.name, str(record.frame), classifier.to(device).eval(), record.digest)


def read_head(member_dir: Path) -> nn.Module:
    """Return the main head of a member alone, for cached embeddings."""
    record, raw = run_layout.read_weights(member_dir)
    architecture = architecture_of(record, member_dir)
    width = backbones.get(architecture.backbone).spec.pooling[architecture.pooling]
    head = adaptations.build(architecture.adaptation).build_head(width)
    state = {key.removeprefix("head."): value.float() for key, value in load(raw).items() if key.startswith("head.")}
    head.load_state_dict(state)
    return head.eval()


def architecture_of(record: MemberRecord, member_dir: Path) -> Architecture:
    """Return the architecture of a member's record. Raises a UserError for the member of a feature, which has none."""
    if record.architecture is None:
        raise UserError(f"The member '{member_dir}' is of the feature '{record.feature}' and has no net.")
    return record.architecture


def load_state(classifier: Classifier, raw: bytes, source: str) -> None:
    """Load safetensors bytes into a classifier: exactly the tensors that were trained, in their shapes."""
    try:
        state = {key: value.float() if value.is_floating_point() else value for key, value in load(raw).items()}
        expected = {name for name, _ in trained_tensors(classifier)}
        if state.keys() != expected:
            mismatches = sorted(state.keys() ^ expected)
            raise KeyError(f"{len(mismatches)} tensors are missing or unknown, '{mismatches[0]}' first")
        classifier.load_state_dict(state, strict=False)
    except SafetensorError as error:
        raise UserError(
            f"'{source}' is not a valid safetensors file: {error}.", fix="restore it from a copy"
        ) from error
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            f"'{source}' does not fit its net: {str(error).splitlines()[0]}.",
            fix="check which net the weights belong to",
        ) from error
