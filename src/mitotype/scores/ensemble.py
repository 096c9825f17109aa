"""Ensembles: means over views and then members, or a weighted sum, as a record of plain numbers that a bundle stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mitotype.core.errors import UserError, unknown_name
from mitotype.core.rates import divide
from mitotype.core.run_layout import CombinerRecord
from mitotype.scores.calibrate import logit_of, sigmoid

if TYPE_CHECKING:
    import pandas as pd

    from mitotype.scores.table import Scores


class Combiner(CombinerRecord, frozen=True):
    """One logit per patch from many. `views` and `members` select by name; empty means all.

    mean_logit          the mean over views, then over members, of logits
    mean_probability    the same means of probabilities σ(logit); the result is turned back into a logit
    weighted            Σ weight(source) · mean logit of the source's members + intercept; a *source* is the part of a
                        member's name before the last "/" ("uni2-h/fold3"), or the name itself
    """

    def combine(self, logit_NM: np.ndarray, members: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return one logit per patch and the members' SD, from N patches × M members (nan where a member has no score).

        It is the sample SD over members, of logits (of probabilities for `mean_probability`); nan for one member.
        """
        value = sigmoid(logit_NM) if self.kind == "mean_probability" else np.asarray(logit_NM, float)
        scored = np.isfinite(value)
        count = scored.sum(1)
        mean = divide(np.where(scored, value, 0.0).sum(1), count)
        deviation = np.where(scored, value - mean[:, None], 0.0)
        member_sd = np.sqrt(divide((deviation**2).sum(1), np.where(count > 1, count - 1, 0)))
        if self.kind == "mean_probability":
            return logit_of(mean), member_sd
        if self.kind == "mean_logit":
            return mean, member_sd
        logit_NS, sources = by_source(value, members)
        total = np.full(len(value), self.intercept)
        for source, weight in self.weights.items():
            if source not in sources:
                raise unknown_name("source of members", source, sources, "the column member of the scores")
            total += weight * logit_NS[:, sources.index(source)]
        return total, member_sd

    def combine_views(self, logit: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
        """Return `logit_N`, given member → view → logits of the same N patches; see `apply` for rows of a table.

        Raises a UserError for an unknown view or member, and for a logit that is not finite.
        """
        members = _selected(list(logit), "member", self.members)
        columns = []
        for member in members:
            views = _selected(list(logit[member]), "view", self.views)
            value_VN = np.array([logit[member][view] for view in views], float)
            if not np.isfinite(value_VN).all():
                what = f"{int((~np.isfinite(value_VN)).sum())} logits of the member '{member}' are not finite."
                raise UserError(what, fix="check its weights: copy the bundle again from its source, or train again")
            is_probability = self.kind == "mean_probability"
            columns.append(logit_of(sigmoid(value_VN).mean(0)) if is_probability else value_VN.mean(0))
        return self.combine(np.stack(columns, axis=1), members)[0]

    @property
    def record(self) -> CombinerRecord:
        """The combiner as evaluation.json stores it."""
        return self

    def apply(self, scores: Scores) -> pd.DataFrame:
        """Return one row per patch and part: patch_id, part, logit, member_sd, members, views, in the order of the patches.

        Raises a UserError for an unknown view or member, and for a patch that lacks a view or, in the test part, a member
        that others of its dataset have: a mean over fewer is another classifier.
        """
        from mitotype.scores.member_table import (
            by_member,  # not at the top: classify imports this file and needs no tables
        )

        rows = scores.scores
        for column, names in (("view", self.views), ("member", self.members)):
            if names:
                rows = rows[rows[column].isin(_selected([str(name) for name in rows[column].unique()], column, names))]
        table = by_member(scores if rows is scores.scores else type(scores).unchecked(scores.patches, rows), self.kind)
        logit_N, sd_N = self.combine(table.logit_NM, table.members)
        return table.combined(logit_N, sd_N)


class AnyCombiner(Protocol):
    """What evaluation takes: a `Combiner`, or that of an ensemble whose out-of-fold rows are cross-fitted."""

    @property
    def record(self) -> CombinerRecord: ...

    def apply(self, scores: Scores) -> pd.DataFrame: ...


def mean_logit(scores: Scores) -> pd.DataFrame:
    """Return the mean of logits over views and then members. See `Combiner.apply`."""
    return Combiner().apply(scores)


def source_of(member: str) -> str:
    return member.rsplit("/", 1)[0]


def by_source(logit_NM: np.ndarray, members: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return the mean logit of each source's members, N × sources; nan where a source has none for a patch."""
    sources = list(dict.fromkeys(source_of(m) for m in members))
    columns = []
    for source in sources:
        logit = logit_NM[:, [source_of(m) == source for m in members]]
        scored = np.isfinite(logit)
        columns.append(divide(np.where(scored, logit, 0.0).sum(1), scored.sum(1)))
    return np.stack(columns, axis=1), sources


def _selected(available: Sequence[str], column: str, names: Sequence[str]) -> list[str]:
    """Return the available members or views that are in `names`, all of them where it is empty."""
    for name in names:
        if name not in available:
            raise unknown_name(column, name, available, f"the column {column} of the scores")
    return [name for name in available if name in names or not names]
