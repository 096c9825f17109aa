"""Runtime: what runs members of a bundle on images. Torch, ONNX Runtime, and shape descriptors each have one.

Shapes: N patches, H side of an image in px, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

OnProgress = Callable[[int], None]


@dataclass(frozen=True)
class MemberOutputs:
    """Outputs of one member: `logit` maps a view's name to `logit_N`; `embedding_ND` is that of the first view, if any."""

    name: str
    logit: Mapping[str, np.ndarray]
    embedding_ND: np.ndarray | None = None


class Runtime(Protocol):
    """`members` by name, the smallest side of an image, and the width of each net's embedding."""

    @property
    def members(self) -> tuple[str, ...]: ...

    @property
    def needs_px(self) -> int: ...

    @property
    def widths(self) -> Mapping[str, int]: ...

    def run(self, image_N3HW: np.ndarray, *, precision: str, on_progress: OnProgress) -> list[MemberOutputs]:
        """Return the outputs of each member, in the order of `members`. `on_progress` receives numbers of finished patches."""
