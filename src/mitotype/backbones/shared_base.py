"""SharedBaseEnsemble: members of one architecture and one frame on one base, which is in memory once.

Each member's trained tensors are swapped in before its forward pass. Blocks that no member trained run once for all of them,
and probes share the whole trunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mitotype.backbones import member_files
from mitotype.backbones.adaptations import adaptations, trained_tensors
from mitotype.backbones.classifier import Classifier, Outputs
from mitotype.core import records, run_layout


@dataclass(frozen=True)
class SharedBaseEnsemble:
    """One net, and per member its name, digest and trained tensors (`states`, by the net's names)."""

    names: tuple[str, ...]
    frame: str
    digests: tuple[str, ...]
    classifier: Classifier
    states: tuple[Mapping[str, Tensor], ...]

    def forward(self, image_B3CC: Tensor) -> Iterator[Outputs]:
        """Yield the outputs of each member for a batch, in the order of `names`."""
        adaptation = adaptations.build(self.classifier.architecture.adaptation)
        trunk, x_B3SS = self.classifier.trunk, self.classifier.prepare(image_B3CC)
        is_probe = adaptation.is_trunk_frozen
        first = len(trunk.blocks) - adaptation.last if adaptation.last else 0
        shared = trunk(x_B3SS) if is_probe else trunk.forward_until(x_B3SS, first) if first else x_B3SS
        for state in self.states:
            self.swap_in(state)
            feature = shared if is_probe else trunk.forward_from(shared, first) if first else trunk(shared)
            yield self.classifier.head_forward(feature)

    def swap_in(self, state: Mapping[str, Tensor]) -> None:
        """Point the net at a member's tensors; nothing is copied."""
        if len(self.states) == 1:
            return
        for name, value in state.items():
            module_name, _, tensor_name = name.rpartition(".")
            module = self.classifier.get_submodule(module_name)
            if tensor_name in module._parameters:
                module._parameters[tensor_name].data = value  # type: ignore[union-attr]
            else:
                module._buffers[tensor_name] = value


def read_ensembles(member_dirs: Sequence[Path], *, device: str = "cpu") -> list[SharedBaseEnsemble]:
    """Return members as ensembles, one for each pair of architecture (base included) and frame.

    Members without a base, whose every weight was trained, are ensembles of one.
    """
    groups: dict[tuple[bytes, str | None, Path | None], list[Path]] = {}
    for member_dir in member_dirs:
        record = run_layout.read_member(member_dir)
        architecture = member_files.architecture_of(record, member_dir)
        key = records.encode(architecture), record.frame, None if architecture.base else member_dir
        groups.setdefault(key, []).append(member_dir)
    return [_read_ensemble(group, device) for group in groups.values()]


def _read_ensemble(member_dirs: Sequence[Path], device: str) -> SharedBaseEnsemble:
    first = member_files.read_member(member_dirs[0], device=device)
    names, digests, states = [first.name], [first.digest], [_copy_trained(first.classifier)]
    for member_dir in member_dirs[1:]:
        record, raw = run_layout.read_weights(member_dir)
        member_files.load_state(first.classifier, raw, str(member_dir))
        names.append(record.name)
        digests.append(record.digest)
        states.append(_copy_trained(first.classifier))
    return SharedBaseEnsemble(tuple(names), first.frame, tuple(digests), first.classifier, tuple(states))


def _copy_trained(classifier: Classifier) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: value.detach().clone() for name, value in trained_tensors(classifier)}
