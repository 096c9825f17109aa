"""Image transforms in batches: frame (deterministic), augment (random, in training) and test-time views. One file per op.

Specs name the steps: `Frame("macenko | crop(64)")`, `Augment("affine(shift=2) | d4 | stain(0.1) | crop(64)")`,
`tta_views("d4")`. The package imports no torch; these names load it on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mitotype.transforms.transform import Transform, transforms

if TYPE_CHECKING:
    from mitotype.transforms.augment import Augment, slice_params
    from mitotype.transforms.frame import Frame
    from mitotype.transforms.tta.view_set import tta_views

__all__ = ["Augment", "Frame", "Transform", "slice_params", "transforms", "tta_views"]

_LAZY = {"Augment": "augment", "slice_params": "augment", "Frame": "frame", "tta_views": "tta.view_set"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
