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
    return [paired_effect(name, *rows, n_boot=n_boot) for name, *rows in _alternatives(scores, complete)]


def _alternatives(scores: Scores, complete: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Yield what differs, the rows with it, and those without it."""
    views, members = scores.scores["view"].unique(), scores.scores["member"].unique()
    if len(views) > 1 and IDENTITY in views:
        yield f"{len(views)} views", complete, decided(scores, Combiner(views=(IDENTITY,)))
    first = [member for member in members if str(member).endswith("-seed0")]
    if len(first) < len(members):
        yield f"{len(members) // max(len(first), 1)} seeds", complete, decided(scores, Combiner(members=tuple(first)))
    yield "mean of probabilities, not of logits", decided(scores, Combiner("mean_probability")), complete
    yield "fitted threshold, not 0.5", complete, decided(scores, threshold="half")
