"""A sampler: every domain equally often.

mitotype --plugin sampler.py train default --data DATA --set sampler=domain_balanced
"""

from dataclasses import dataclass

import numpy as np

from mitotype.core import seeds
from mitotype.fit.train.samplers.sampler import Patches, Sampler, samplers


@samplers.add("domain_balanced")
@dataclass(frozen=True)
class DomainBalanced(Sampler):
    """Draws patches with replacement, so that every domain is expected equally often."""

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        _, code_N, count_M = np.unique(patches.domain_N, return_inverse=True, return_counts=True)
        p_N = 1 / (count_M[code_N] * len(count_M))
        return seeds.numpy_generator(seed, "sampler", epoch).choice(len(p_N), len(p_N), p=p_N)
