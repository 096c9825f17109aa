"""Nets on torch: ensembles that share a base, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mitotype.backbones import backbones, shared_base
from mitotype.backbones.predict import InferenceConfig, amp_dtype, predict_ensemble
from mitotype.backbones.shared_base import SharedBaseEnsemble
from mitotype.deploy.runtime import MemberOutputs, OnProgress
from mitotype.transforms import Frame, tta_views


@dataclass(frozen=True)
class TorchRuntime:
    """The nets, one ensemble for each base and views that they share, and the spec of the views of each."""

    ensembles: tuple[SharedBaseEnsemble, ...]
    tta: tuple[str, ...]
    device: str = "cpu"

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(name for ensemble in self.ensembles for name in ensemble.names)

    @property
    def needs_px(self) -> int:
        return max(Frame(ensemble.frame).needs_px for ensemble in self.ensembles)

    @property
    def widths(self) -> dict[str, int]:
        widths: dict[str, int] = {}
        for ensemble in self.ensembles:
            architecture = ensemble.classifier.architecture
            width = backbones.get(architecture.backbone).spec.pooling[architecture.pooling]
            widths |= dict.fromkeys(ensemble.names, width)
        return widths

    def run(self, image_N3HW: np.ndarray, *, precision: str, on_progress: OnProgress) -> list[MemberOutputs]:
        result = []
        for ensemble, tta in zip(self.ensembles, self.tta, strict=True):
            config = InferenceConfig(
                device=self.device,
                dtype=amp_dtype(self.device, precision),
                on_progress=on_progress if ensemble is self.ensembles[-1] else lambda n: None,
            )
            outputs = predict_ensemble(ensemble, image_N3HW, Frame(ensemble.frame), tta_views(tta), config)
            for name, output in zip(ensemble.names, outputs, strict=True):
                result.append(MemberOutputs(name, output.logit, output.embedding_ND))
        return result


def open_nets(member_dirs: Mapping[Path, str], device: str) -> TorchRuntime:
    """Return the nets in the folders of members, given the spec of each one's views."""
    ensembles: list[tuple[SharedBaseEnsemble, str]] = []
    for tta in dict.fromkeys(member_dirs.values()):
        paths = [path for path, spec in member_dirs.items() if spec == tta]
        ensembles += [(ensemble, tta) for ensemble in shared_base.read_ensembles(paths, device=device)]
    return TorchRuntime(tuple(e for e, _ in ensembles), tuple(tta for _, tta in ensembles), device)
