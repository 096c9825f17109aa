"""What the trainer is given: the training data and the context of one member.

Shapes: N training patches, K outputs of an auxiliary head, M domains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mitotype.backbones.weights import PretrainedWeights
from mitotype.core.run_layout import OnLog


@dataclass(frozen=True)
class TrainData:
    """Training patches: images, published labels, soft targets, targets `name → NK` of the losses, and `domain_NM`.

    `validation` is images and labels of the fold left out, for early stopping and schedules that need it; `bank_K3CC` is the
    targets of an augmentation that needs some.
    """

    image_N3HW: np.ndarray
    label_N: np.ndarray
    target_N: np.ndarray
    aux_targets: Mapping[str, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None = None
    domains: tuple[str, ...] = ()
    domain_NM: np.ndarray | None = None
    bank_K3CC: np.ndarray | None = None

    @property
    def domain_N(self) -> np.ndarray:
        """The number of each patch's domain, −1 where it is unknown."""
        if self.domain_NM is None or not self.domains:
            return np.full(len(self.label_N), -1)
        return np.where(self.domain_NM.any(1), self.domain_NM.argmax(1), -1)


@dataclass(frozen=True)
class TrainContext:
    """Training context of one member: checkpoint folder, device, dtype of mixed precision, log, pretrained weights.

    `workers` members are trained at once on the machine and share its memory.
    """

    dir: Path
    device: str = "cpu"
    amp_dtype: torch.dtype | None = None
    on_log: OnLog = lambda line: None
    base: PretrainedWeights | None = None
    workers: int = 1
