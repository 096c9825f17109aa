"""Weighted: draws with replacement, as the published benchmark."""

from dataclasses import dataclass

import numpy as np

from mitotype.core import seeds
from mitotype.core.arguments import argument
from mitotype.core.schema import ATYPICAL
from mitotype.fit.train.samplers.sampler import Patches, Sampler, samplers


@samplers.add("weighted")
@dataclass(frozen=True)
class Weighted(Sampler):
    """Draws with replacement, each atypical with probability `share`, as torch's WeightedRandomSampler."""

    share: float = argument(0.5, low=0.001, high=0.999, meaning="probability of an atypical patch")

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        atypical = patches.label_N == ATYPICAL
        p = np.where(atypical, self.share / max(atypical.sum(), 1), (1 - self.share) / max((~atypical).sum(), 1))
        return seeds.numpy_generator(seed, "sampler", epoch).choice(len(p), len(p), p=p / p.sum())
