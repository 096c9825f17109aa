"""Sampler: the base class, what it is given of the patches, the registry, and mixtures of samplers.

Shapes: N training patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mitotype.core import seeds, spec
from mitotype.core.arguments import build
from mitotype.core.registry import Registry


@dataclass(frozen=True)
class Patches:
    """The training patches.

    label_N        1: atypical, 0: normal
    domain_N       number of the domain, −1: unknown
    difficulty_N   |t − p| after the last epoch, with t the soft target and p the net's probability; None before there is one
    """

    label_N: np.ndarray
    domain_N: np.ndarray
    difficulty_N: np.ndarray | None = None


class Sampler:
    """A sampler: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments."""

    needs_difficulty: ClassVar[bool] = False  # True: the difficulty is measured after every epoch from `from_epoch` on
    from_epoch: int = 0

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        """Return the indices of an epoch's patches, N of them. The same arguments give the same indices."""
        raise NotImplementedError


samplers: Registry[type[Sampler]] = Registry("sampler", "samplers", "mitotype.fit.train.samplers")


@dataclass(frozen=True)
class Mixture(Sampler):
    """Each patch of an epoch is that of one of the samplers, with a probability proportional to its weight."""

    samplers: tuple[Sampler, ...]
    weights: tuple[float, ...]

    @property
    def needs_difficulty(self) -> bool:  # type: ignore[override]
        return any(sampler.needs_difficulty for sampler in self.samplers)

    @property
    def from_epoch(self) -> int:  # type: ignore[override]
        return min(sampler.from_epoch for sampler in self.samplers if sampler.needs_difficulty)

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        orders = np.stack([sampler(seed, epoch, patches) for sampler in self.samplers])
        p = np.array(self.weights) / sum(self.weights)
        rng = seeds.numpy_generator(seed, "mixture of samplers", epoch)
        choice_N = np.asarray(rng.choice(len(p), orders.shape[1], p=p))
        order_N: np.ndarray = np.take_along_axis(orders, choice_N[None], 0).ravel()
        return order_N


def build_sampler(text: str) -> Sampler:
    """Return the sampler of a spec: one name, or a weighted sum such as "0.7 * domain_balanced + 0.3 * hard_negatives"."""
    steps = spec.weighted_sum(text) if "+" in text else ()
    if len(steps) < 2:
        return samplers.build(text)
    built = tuple(build(samplers.get(step.name), step) for step in steps)
    return Mixture(built, tuple(step.weight for step in steps))


def draw(seed: int, purpose: str, epoch: int, p_N: np.ndarray) -> np.ndarray:
    """Return N indices drawn with replacement, with probabilities proportional to `p_N`."""
    return seeds.numpy_generator(seed, purpose, epoch).choice(len(p_N), len(p_N), p=p_N / p_N.sum())
