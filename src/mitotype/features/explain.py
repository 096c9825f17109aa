"""What the descriptors said of one patch, in words: "the chromatin is less point-symmetric than in 93 % of normal figures"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mitotype.features import Descriptor
    from mitotype.features.logistic import LogisticHead


@dataclass(frozen=True)
class Said:
    """One trait's word on one patch: the sentence, and what it added to the logit over all masks (positive: atypical)."""

    trait: str
    sentence: str
    contribution: float


def explain(
    head: LogisticHead, descriptors: tuple[Descriptor, ...], value_D: np.ndarray, *, most: int = 5
) -> tuple[Said, ...]:
    """The `most` traits that moved the logit furthest, the strongest first.

    A trait that was measured on several masks speaks once: its contributions add, its rank among normal training
    figures is the mean over the masks where it is defined. Where no mask has chromatin nothing is said.
    """
    by_name = {descriptor.name: descriptor for descriptor in descriptors}
    share = head.above_normal(np.asarray(value_D, float))
    added = head.contributions(np.asarray(value_D, float)[None])[0]
    told: dict[str, list[int]] = {}
    for index, name in enumerate(head.names):
        if np.isfinite(share[index]):
            told.setdefault(by_name[name].trait, []).append(index)
    said = []
    for trait, indices in told.items():
        rank = float(np.mean(share[indices]))
        words = by_name[head.names[indices[0]]]
        phrase = words.high if rank >= 0.5 else words.low
        percent = min(99, round(100 * max(rank, 1 - rank)))
        said.append(
            Said(trait, f"the chromatin {phrase} than in {percent} % of normal figures", float(added[indices].sum()))
        )
    return tuple(sorted(said, key=lambda one: -abs(one.contribution))[:most])
