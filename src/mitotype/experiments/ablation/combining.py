"""Ways to combine the members of one recipe, compared on the same scores: no member is fitted again."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mitotype.experiments.ablation.effects import Effect, decided, paired_effect
from mitotype.scores.ensemble import Combiner
from mitotype.scores.table import Scores

IDENTITY = "identity"


def effects(scores: Scores, *, n_boot: int) -> list[Effect]:
    """Return what views, seeds, the mean of probabilities and a fitted threshold change, each against the recipe without it."""
    complete = decided(scores)
    return [
        paired_effect(name, *_ordered(name, complete, other), n_boot=n_boot) for name, other in _alternatives(scores)
    ]


def _ordered(name: str, complete: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows with and without what is named; the mean of probabilities is not part of the complete recipe."""
    return (other, complete) if name == PROBABILITIES else (complete, other)


PROBABILITIES = "mean of probabilities, not of logits"


def _alternatives(scores: Scores) -> Iterator[tuple[str, pd.DataFrame]]:
    views, members = scores.scores["view"].unique(), scores.scores["member"].unique()
    if len(views) > 1 and IDENTITY in views:
        yield f"{len(views)} views", decided(scores, Combiner(views=(IDENTITY,)))
    first = [member for member in members if str(member).endswith("-seed0")]
    if len(first) < len(members):
        yield f"{len(members) // max(len(first), 1)} seeds", decided(scores, Combiner(members=tuple(first)))
    yield PROBABILITIES, decided(scores, Combiner("mean_probability"))
    yield "fitted threshold, not 0.5", decided(scores, threshold="half")
