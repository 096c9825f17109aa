"""A sampler: the classes in turn.

mitotype --plugin sampler.py train default --data DATA --set sampler=alternating
"""

from dataclasses import dataclass

import numpy as np

from mitotype.core import seeds
from mitotype.core.schema import ATYPICAL
from mitotype.fit.train.samplers.sampler import Patches, Sampler, samplers


@samplers.add("alternating")
@dataclass(frozen=True)
class Alternating(Sampler):
    """An atypical and a normal patch in turn, each class in a random order that is repeated as often as needed."""

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        generator = seeds.numpy_generator(seed, "alternating", epoch)
        is_atypical_N = patches.label_N == ATYPICAL
        half = -(-len(is_atypical_N) // 2)
        orders = [
            np.resize(generator.permutation(np.flatnonzero(mask)), half) for mask in (is_atypical_N, ~is_atypical_N)
        ]
        return np.stack(orders, axis=1).ravel()[: len(is_atypical_N)]
