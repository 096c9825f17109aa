"""Explanations of a score by its descriptors: "the chromatin is less point-symmetric than in 93 % of normal figures"."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mitotype.features import Descriptor
from mitotype.features.logistic import LogisticHead


@dataclass(frozen=True)
class Explanation:
    """One trait of one patch: a text, and its contribution to the logit over all masks (positive: atypical)."""

    trait: str
    text: str
    contribution: float


def explain(
    head: LogisticHead, descriptors: tuple[Descriptor, ...], value_D: np.ndarray, *, most: int = 5
) -> tuple[Explanation, ...]:
    """Return the `most` traits with the largest contributions to the logit, the largest first.

    A trait is explained once for all masks: its contributions are added, its rank among normal training figures is the
    mean over the masks where it is defined. The result is empty where no mask has chromatin.
    """
    by_name = {descriptor.name: descriptor for descriptor in descriptors}
    value_D = np.asarray(value_D, float)
    rank_D = head.rank_among_normal(value_D)
    contribution_D = head.contributions(value_D[None])[0]
    columns_of: dict[str, list[int]] = defaultdict(list)
    for column in np.flatnonzero(np.isfinite(rank_D)):
        columns_of[by_name[head.names[column]].trait].append(int(column))
    explanations = []
    for trait, columns in columns_of.items():
        rank = float(np.mean(rank_D[columns]))
        descriptor = by_name[head.names[columns[0]]]
        phrase = descriptor.high if rank >= 0.5 else descriptor.low
        percent = min(99, round(100 * max(rank, 1 - rank)))
        text = f"the chromatin {phrase} than in {percent} % of normal figures"
        explanations.append(Explanation(trait, text, float(contribution_D[columns].sum())))
    return tuple(sorted(explanations, key=lambda explanation: -abs(explanation.contribution))[:most])
