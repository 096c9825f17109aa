"""Sampler: the base class, what it is given of the patches, and the registry.

Shapes: N training patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.core.registry import Registry


@dataclass(frozen=True)
class Patches:
    """The training patches: labels (1: atypical) and numbers of domains (−1: unknown)."""

    label_N: np.ndarray
    domain_N: np.ndarray


class Sampler:
    """A sampler: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments."""

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        """Return the indices of an epoch's patches, N of them. The same arguments give the same indices."""
        raise NotImplementedError


samplers: Registry[type[Sampler]] = Registry("sampler", "samplers", "mitotype.fit.train.samplers")
