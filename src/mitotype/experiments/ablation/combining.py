"""Ways to combine the members of one recipe, compared on the same scores: no member is fitted again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from mitotype.core.run_layout import CombinerRecord, CrossFitUnit
from mitotype.experiments.ablation.effects import Effect, Level, decided, level, paired_effect
from mitotype.scores.combiners import combiners
from mitotype.scores.decision import FOLDS
from mitotype.scores.ensemble import Combiner, source_of
from mitotype.scores.sources import source_rows
from mitotype.scores.table import Scores

IDENTITY = "identity"


@dataclass(frozen=True)
class CrossFitted:
    """A combiner whose out-of-fold rows come from fits on other cases."""

    rule: str
    unit: CrossFitUnit = "case"

    @property
    def record(self) -> CombinerRecord:
        return CombinerRecord()

    def apply(self, scores: Scores) -> pd.DataFrame:
        """Return one row per patch, see `Combiner.apply`."""
        rows = source_rows(scores, unit=self.unit)
        _, logit_N = combiners.read(self.rule).cross_fit(rows, FOLDS, 0)
        return rows.rows[["patch_id", "part", "member_sd", "members", "views"]].assign(logit=logit_N)


def effects(scores: Scores, complete: pd.DataFrame, *, unit: CrossFitUnit = "case", n_boot: int) -> list[Effect]:
    """Return what views, seeds, each run of an ensemble, a stack, the mean of probabilities and a fitted threshold change.

    `complete` are the rows of all members, as `decided` returns them.
    """
    decide = functools.partial(decided, scores, unit=unit)
    return [paired_effect(name, *rows, n_boot=n_boot) for name, *rows in _alternatives(scores, complete, decide, unit)]


def levels(scores: Scores, complete: pd.DataFrame, *, unit: CrossFitUnit = "case", n_boot: int) -> list[Level]:
    """Return what all members reach together (`complete`), and of an ensemble what its stack and each of its runs reach."""
    decide, runs = functools.partial(decided, scores, unit=unit), _members_of_runs(scores)
    rows = {"all members, mean of logits": complete}
    if runs:
        rows |= {"all members, logistic stack": decide(CrossFitted("stack", unit))}
        rows |= {f"{run} alone": decide(Combiner(members=members)) for run, members in runs.items()}
    return [level(name, decided_rows, n_boot=n_boot) for name, decided_rows in rows.items()]


def by_seed(scores: Scores, complete: pd.DataFrame, seeds: int, *, unit: CrossFitUnit = "case") -> list[pd.DataFrame]:
    """Return the decided rows of the members of each seed; those of one seed are `complete`."""
    if seeds == 1:
        return [complete]
    return [decided(scores, Combiner(members=_members_of_seed(scores, seed)), unit=unit) for seed in range(seeds)]


def _members_of_seed(scores: Scores, seed: int) -> tuple[str, ...]:
    return tuple(str(m) for m in scores.scores["member"].unique() if str(m).endswith(f"-seed{seed}"))


def _members_of_runs(scores: Scores) -> dict[str, tuple[str, ...]]:
    """Return the members of each run; nothing for a table of one run."""
    members = [str(member) for member in scores.scores["member"].unique() if "/" in str(member)]
    runs = dict.fromkeys(map(source_of, members))
    return {run: tuple(m for m in members if source_of(m) == run) for run in runs} if len(runs) > 1 else {}


def _alternatives(
    scores: Scores, complete: pd.DataFrame, decide: Callable[..., pd.DataFrame], unit: CrossFitUnit
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Yield what differs, the rows with it, and those without it."""
    views, members = scores.scores["view"].unique(), scores.scores["member"].unique()
    if len(views) > 1 and IDENTITY in views:
        yield f"{len(views)} views", complete, decide(Combiner(views=(IDENTITY,)))
    first = _members_of_seed(scores, 0)
    if len(first) < len(members):
        yield f"{len(members) // max(len(first), 1)} seeds", complete, decide(Combiner(members=first))
    runs = _members_of_runs(scores)
    for run in runs:
        others = tuple(member for other, of_run in runs.items() if other != run for member in of_run)
        yield run, complete, decide(Combiner(members=others))
    if runs:
        yield "logistic stack, not the mean", decide(CrossFitted("stack", unit)), complete
    yield "mean of probabilities, not of logits", decide(Combiner("mean_probability")), complete
    yield "fitted threshold, not 0.5", complete, decide(threshold="half")
