"""Samplers: pure functions of (seed, epoch, labels, …) to the order in which an epoch draws its patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotype.core import seeds, sentence
from mitotype.core.mistakes import Mistake, unknown
from mitotype.core.words import ATYPICAL

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Pool:
    """What a sampler may look at: one entry per training patch. `difficulty_N` is None before the first epoch."""

    label_N: np.ndarray
    domain_N: np.ndarray
    difficulty_N: np.ndarray | None = None


Sampler = Callable[[int, int, Pool], "np.ndarray"]


def read(text: str) -> Sampler:
    """The sampler a sentence names: "uniform", "class_balanced(0.4)", "weighted"."""
    steps = sentence.pipeline(text)
    if len(steps) != 1 or steps[0].name not in SAMPLERS:
        raise unknown("sampler", text, SAMPLERS, "mitotype train --help")
    try:
        return SAMPLERS[steps[0].name](*steps[0].args, **dict(steps[0].options))
    except TypeError as error:
        raise Mistake(f"The sampler '{steps[0]}' is not understood: {error}.", allowed="class_balanced(0.5)") from error


def uniform() -> Sampler:
    """Every patch once, in a new order each epoch."""

    def order(seed: int, epoch: int, pool: Pool) -> np.ndarray:
        return seeds.numpy_generator(seed, "sampler", epoch).permutation(len(pool.label_N))

    return order


def weighted(share: float = 0.5) -> Sampler:
    """As many draws as patches, with replacement, each atypical with probability `share`, as torch's WeightedRandomSampler."""
    if not 0 < share < 1:
        raise Mistake(f"weighted({share}) is no share.", allowed="between 0 and 1")

    def order(seed: int, epoch: int, pool: Pool) -> np.ndarray:
        import numpy as np

        atypical = pool.label_N == ATYPICAL
        p = np.where(atypical, share / max(atypical.sum(), 1), (1 - share) / max((~atypical).sum(), 1))
        return seeds.numpy_generator(seed, "sampler", epoch).choice(len(p), len(p), p=p / p.sum())

    return order


def class_balanced(share: float = 0.5) -> Sampler:
    """As many draws as patches, a `share` of them atypical, spread so that every batch has its share.

    Each class is walked through in one order after another, across epochs: no patch waits long, none comes twice before
    all of its class have come.
    """
    if not 0 < share < 1:
        raise Mistake(f"class_balanced({share}) is no share.", allowed="between 0 and 1")

    def order(seed: int, epoch: int, pool: Pool) -> np.ndarray:
        import numpy as np

        rng = seeds.numpy_generator(seed, "sampler", epoch)
        atypical = pool.label_N == ATYPICAL
        wanted = round(share * len(atypical))
        drawn, place = [], []
        for is_atypical, count in ((True, wanted), (False, len(atypical) - wanted)):
            drawn.append(_walk(seed, int(is_atypical), np.flatnonzero(atypical == is_atypical), epoch * count, count))
            place.append((np.arange(count) + rng.random(count)) / max(count, 1))
        return np.concatenate(drawn)[np.argsort(np.concatenate(place), kind="stable")]

    return order


def _walk(seed: int, which: int, indices: np.ndarray, start: int, count: int) -> np.ndarray:
    """Draws `start` … `start + count - 1` of an endless walk through `indices`, each round of it in a new order."""
    import numpy as np

    rounds = range(start // len(indices), -(-(start + count) // len(indices)))
    walked = np.concatenate([seeds.numpy_generator(seed, "walk", which, r).permutation(indices) for r in rounds])
    first = start - rounds.start * len(indices)
    return walked[first : first + count]


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "uniform": uniform,
    "class_balanced": class_balanced,
    "weighted": weighted,
}
