"""Uniform: every patch once per epoch."""

from dataclasses import dataclass

import numpy as np

from mitotype.core import seeds
from mitotype.fit.train.samplers.sampler import Patches, Sampler, samplers


@samplers.add("uniform")
@dataclass(frozen=True)
class Uniform(Sampler):
    """Every patch once, in a new order each epoch."""

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        return seeds.numpy_generator(seed, "sampler", epoch).permutation(len(patches.label_N))
