"""Samplers: pure functions of (seed, epoch, labels) that return the patches of an epoch in their order.

Shapes: N training patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.core import arguments, seeds
from mitotype.core.arguments import argument
from mitotype.core.schema import ATYPICAL


@dataclass(frozen=True)
class Sampler:
    """A sampler with its options."""

    def __call__(self, seed: int, epoch: int, label_N: np.ndarray) -> np.ndarray:
        """Return the indices of an epoch's patches, N of them."""
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(Sampler):
    """Every patch once, in a new order each epoch."""

    def __call__(self, seed: int, epoch: int, label_N: np.ndarray) -> np.ndarray:
        return seeds.numpy_generator(seed, "sampler", epoch).permutation(len(label_N))


@dataclass(frozen=True)
class Weighted(Sampler):
    """Draws with replacement, each atypical with probability `share`, as torch's WeightedRandomSampler."""

    share: float = argument(0.5, low=0.001, high=0.999, meaning="probability of an atypical patch")

    def __call__(self, seed: int, epoch: int, label_N: np.ndarray) -> np.ndarray:
        atypical = label_N == ATYPICAL
        p = np.where(atypical, self.share / max(atypical.sum(), 1), (1 - self.share) / max((~atypical).sum(), 1))
        return seeds.numpy_generator(seed, "sampler", epoch).choice(len(p), len(p), p=p / p.sum())


@dataclass(frozen=True)
class ClassBalanced(Sampler):
    """A fixed share of atypical patches, spread evenly over the epoch, so that every batch has about that share.

    Each class is passed in one permutation after another, across epochs: no patch repeats before all of its class have come.
    """

    share: float = argument(0.5, low=0.001, high=0.999, meaning="share of atypical patches")

    def __call__(self, seed: int, epoch: int, label_N: np.ndarray) -> np.ndarray:
        rng = seeds.numpy_generator(seed, "sampler", epoch)
        atypical = label_N == ATYPICAL
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


SAMPLERS: dict[str, type[Sampler]] = {"uniform": Uniform, "class_balanced": ClassBalanced, "weighted": Weighted}


def build(text: str) -> Sampler:
    """Return the sampler of a spec such as "class_balanced(0.4)". Raises a UserError for an invalid one."""
    return arguments.build_one(text, SAMPLERS, "sampler", "mitotype train --help")
