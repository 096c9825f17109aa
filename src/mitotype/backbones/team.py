"""Team: members of one architecture and one frame on one base. The base is held once for them, and what each of them trained is
put in its place when it speaks; members of another architecture or frame hold the base once more.

Where all of them left the first blocks as they are, these are walked once for all; probes share the whole trunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mitotype.backbones import adapters, members
from mitotype.backbones.classifier import Architecture, Classifier, Outputs
from mitotype.core import files


@dataclass(frozen=True)
class Team:
    """`names`, one `frame`, one net, and per member the tensors that it trained (`states`, by the net's names)."""

    names: tuple[str, ...]
    frame: str
    digests: tuple[str, ...]
    classifier: Classifier
    states: tuple[Mapping[str, Tensor], ...]

    def judge(self, image_B3CC: Tensor) -> Iterator[Outputs]:
        """What each member says of a batch, in the order of `names`."""
        adaptation = adapters.read(self.classifier.architecture.adaptation)
        trunk, x_B3SS = self.classifier.trunk, self.classifier.prepare(image_B3CC)
        if isinstance(adaptation, adapters.Probe):
            feature = trunk(x_B3SS)
            for state in self.states:
                self._take(state)
                yield self.classifier.judge(feature)
            return
        first = len(trunk.blocks) - adaptation.last if adaptation.last else 0
        stem = trunk.stem(x_B3SS, first) if first else x_B3SS
        for state in self.states:
            self._take(state)
            yield self.classifier.judge(trunk.tail(stem, first) if first else trunk(stem))

    def _take(self, state: Mapping[str, Tensor]) -> None:
        """Put a member's tensors in place: pointers change hands, nothing is copied."""
        if len(self.states) == 1:
            return
        for name, value in state.items():
            module_name, _, own = name.rpartition(".")
            module = self.classifier.get_submodule(module_name)
            if own in module._parameters:
                module._parameters[own].data = value  # type: ignore[union-attr]
            else:
                module._buffers[own] = value


def read(folders: Sequence[Path], *, device: str = "cpu") -> list[Team]:
    """Members on disk as teams: those of one architecture (base included) with one frame stand together, and only they share it."""
    groups: dict[tuple[Architecture, str], list[Path]] = {}
    alone = 0
    for folder in folders:
        told = files.read_json(folder / members.TOLD, what="member")
        architecture = Architecture.read(told["architecture"])
        mark = str(told["frame"])
        if not architecture.base:  # trained whole: nothing is shared
            alone += 1
            mark += f"\x1f{alone}"
        groups.setdefault((architecture, mark), []).append(folder)
    return [_team(group, device) for group in groups.values()]


def _team(folders: Sequence[Path], device: str) -> Team:
    first = members.read(folders[0], device=device)
    found, states = [first], [_trained(first.classifier)]
    for folder in folders[1:]:
        told, raw = members.opened(folder)
        members.load_state(first.classifier, raw, str(folder / members.WEIGHTS))
        found.append(members.Member(str(told["name"]), str(told["frame"]), first.classifier, str(told["digest"])))
        states.append(_trained(first.classifier))
    names, digests = tuple(m.name for m in found), tuple(m.digest for m in found)
    return Team(names, first.frame, digests, first.classifier, tuple(states))


def _trained(classifier: Classifier) -> dict[str, Tensor]:
    with torch.no_grad():
        return {name: value.detach().clone() for name, value in adapters.trained(classifier)}
