"""Members that are shape descriptors with a logistic head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from mitotype.deploy.runtime import MemberOutputs, OnProgress
from mitotype.features import explain as explanations
from mitotype.features import features, member_files
from mitotype.features.member_files import FeatureMember


@dataclass(frozen=True)
class DescriptorRuntime:
    """The members; those of one feature share its computation."""

    feature_members: tuple[FeatureMember, ...]

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.feature_members)

    @property
    def needs_px(self) -> int:
        return max(features.get(member.feature).needs_px for member in self.feature_members)

    @property
    def widths(self) -> dict[str, int]:
        return {}  # no embedding

    def run(self, image_N3HW: np.ndarray, *, precision: str, on_progress: OnProgress) -> list[MemberOutputs]:
        result = []
        for feature, members in groupby(self.feature_members, key=lambda member: member.feature):
            value_ND = features.get(feature).compute(image_N3HW).value_BD
            result += [MemberOutputs(member.name, {"identity": member.head.logit(value_ND)}) for member in members]
        on_progress(len(image_N3HW))
        return result

    def explain(self, image_3HW: np.ndarray) -> tuple[str, ...]:
        """Return phrases of the shape descriptors of the first member."""
        member = self.feature_members[0]
        feature = features.get(member.feature)
        value_D = feature.compute(image_3HW[None]).value_BD[0]
        return tuple(item.text for item in explanations.explain(member.head, feature.descriptors, value_D))


def open_descriptors(member_dirs: Sequence[Path]) -> DescriptorRuntime:
    """Return the members in these folders."""
    return DescriptorRuntime(tuple(member_files.read_member(path) for path in member_dirs))
