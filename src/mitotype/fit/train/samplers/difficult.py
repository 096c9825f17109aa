"""Samplers that prefer difficult patches: in proportion to difficulty, or the hardest normal ones alone."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.core.schema import ATYPICAL, NORMAL
from mitotype.fit.train.samplers.sampler import Patches, Sampler, draw, samplers


@samplers.add("difficult")
@dataclass(frozen=True)
class Difficult(Sampler):
    """Draws with replacement, in a class in proportion to 1 + bias · difficulty, atypical patches with probability `share`.

    The difficulty is |t − p| after the epoch before. Before epoch `from_epoch` all patches of a class are alike.
    """

    needs_difficulty = True

    bias: float = argument(
        4.0, low=0, high=1000, meaning="0: no preference; the hardest patch has 1 + bias times the weight"
    )
    share: float = argument(0.5, low=0.001, high=0.999, meaning="probability of an atypical patch")
    from_epoch: int = argument(2, low=1, high=10_000, meaning="first epoch, counted from 0, that uses the difficulty")

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        weight_N = np.ones(len(patches.label_N))
        if patches.difficulty_N is not None and epoch >= self.from_epoch:
            weight_N = 1 + self.bias * patches.difficulty_N
        for label, share in ((ATYPICAL, self.share), (NORMAL, 1 - self.share)):
            in_class_N = patches.label_N == label
            weight_N[in_class_N] *= share / max(weight_N[in_class_N].sum(), 1e-12)
        return draw(seed, "difficult", epoch, weight_N)


@samplers.add("hard_negatives")
@dataclass(frozen=True)
class HardNegatives(Sampler):
    """Hard-negative mining: normal patches are drawn from the hardest of them, atypical ones from all.

    A normal patch is hard if its difficulty |t − p| after the epoch before is among the `top` share of the normal patches.
    Until epoch `from_epoch` every normal patch is drawn. Best in a mixture: "0.8 * class_balanced + 0.2 * hard_negatives".
    """

    needs_difficulty = True

    top: float = argument(0.2, low=0.001, high=1, meaning="share of the normal patches that are hard")
    share: float = argument(0.5, low=0.001, high=0.999, meaning="probability of an atypical patch")
    from_epoch: int = argument(2, low=1, high=10_000, meaning="first epoch, counted from 0, that uses the difficulty")

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        normal_N = patches.label_N == NORMAL
        chosen_N = normal_N.copy()
        if patches.difficulty_N is not None and epoch >= self.from_epoch:
            n_hard = max(1, round(self.top * int(normal_N.sum())))
            chosen_N &= patches.difficulty_N >= np.sort(patches.difficulty_N[normal_N])[-n_hard]
        weight_N = chosen_N * (1 - self.share) / max(chosen_N.sum(), 1)
        weight_N[~normal_N] = self.share / max((~normal_N).sum(), 1)
        return draw(seed, "hard negatives", epoch, weight_N)
