"""ClassBalanced: a fixed share of atypical patches in every batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.core import seeds
from mitotype.core.arguments import argument
from mitotype.core.schema import ATYPICAL
from mitotype.fit.train.samplers.sampler import Patches, Sampler, samplers


@samplers.add("class_balanced")
@dataclass(frozen=True)
class ClassBalanced(Sampler):
    """A fixed share of atypical patches, spread evenly over the epoch, so that every batch has about that share.

    Each class is passed in one permutation after another, across epochs: no patch repeats before all of its class have come.
    """

    share: float = argument(0.5, low=0.001, high=0.999, meaning="share of atypical patches")

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        rng = seeds.numpy_generator(seed, "sampler", epoch)
        atypical = patches.label_N == ATYPICAL
        n_atypical = round(self.share * len(atypical))
        indices, positions = [], []
        for is_atypical, count in ((True, n_atypical), (False, len(atypical) - n_atypical)):
            members = np.flatnonzero(atypical == is_atypical)
            indices.append(_permutations(seed, int(is_atypical), members, epoch * count, count))
            positions.append((np.arange(count) + rng.random(count)) / max(count, 1))
        return np.concatenate(indices)[np.argsort(np.concatenate(positions), kind="stable")]


def _permutations(seed: int, class_id: int, indices: np.ndarray, start: int, count: int) -> np.ndarray:
    """Return items `start` … `start + count - 1` of an endless sequence of permutations of `indices`."""
    rounds = range(start // len(indices), -(-(start + count) // len(indices)))
    sequence = np.concatenate([seeds.numpy_generator(seed, "walk", class_id, r).permutation(indices) for r in rounds])
    first = start - rounds.start * len(indices)
    return sequence[first : first + count]
