"""DomainBalanced: every domain, and both classes of it, in fixed shares."""

from dataclasses import dataclass

import numpy as np

from mitotype.core.arguments import argument
from mitotype.core.schema import ATYPICAL
from mitotype.fit.train.samplers.sampler import Patches, Sampler, draw, samplers


@samplers.add("domain_balanced")
@dataclass(frozen=True)
class DomainBalanced(Sampler):
    """Draws with replacement: every domain equally often, and in it atypical patches with probability `share`.

    p_i ∝ n_m^(1 − power) · share / n_m,atypical for an atypical patch of domain m (with its n_m patches), and with 1 − share for a
    normal one. With power 1 every domain has the same total, with power 0 its own size. A domain of one class is drawn less: it
    has the share of that class alone.
    """

    share: float = argument(0.5, low=0.001, high=0.999, meaning="probability of an atypical patch in a domain")
    power: float = argument(1.0, low=0, high=1, meaning="1: every domain equally often; 0: as often as it occurs")

    def __call__(self, seed: int, epoch: int, patches: Patches) -> np.ndarray:
        p_N = np.zeros(len(patches.label_N))
        for domain in np.unique(patches.domain_N):
            in_domain_N = patches.domain_N == domain
            total = in_domain_N.sum() ** (1 - self.power)
            for is_atypical, share in ((True, self.share), (False, 1 - self.share)):
                cell_N = in_domain_N & ((patches.label_N == ATYPICAL) == is_atypical)
                if cell_N.any():
                    p_N[cell_N] = total * share / cell_N.sum()
        return draw(seed, "domain balanced", epoch, p_N)
