"""Ensembles: means over views and then members, or a weighted sum, as a record of plain numbers that a bundle stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from mitotype.core.errors import UserError, unknown_name
from mitotype.core.rates import divide
from mitotype.core.run_layout import CombinerRecord
from mitotype.core.run_layout.decision import CombinerKind
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores import table
from mitotype.scores.calibrate import logit_of, sigmoid
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

    @property
    def record(self) -> CombinerRecord:
        """The combiner as evaluation.json stores it."""
        return self

    def apply(self, scores: Scores) -> pd.DataFrame:
        """Return one row per patch and part: patch_id, part, logit, member_sd, members, views, in the order of the patches.

        Raises a UserError for an unknown view or member, and for a patch that lacks a view or, in the test part, a member
        that others of its dataset have: a mean over fewer is another classifier.
        """
        table = by_member(_selected(scores, self), self.kind)
        logit_N, sd_N = self.combine(table.logit_NM, table.members)
        return table.combined(logit_N, sd_N)


class AnyCombiner(Protocol):
    """What evaluation takes: a `Combiner`, or that of an ensemble whose out-of-fold rows are cross-fitted."""

    @property
    def record(self) -> CombinerRecord: ...

    def apply(self, scores: Scores) -> pd.DataFrame: ...


@dataclass(frozen=True)
class MemberTable:
    """N patches (of one part each, in the order of the score table's patches) by M members, sorted by name.

    `logit_NM` is the mean over views, nan where a member has no score; `views_NM` is the number of views.
    """

    patch_id_N: np.ndarray
    part_N: np.ndarray
    members: list[str]
    logit_NM: np.ndarray
    views_NM: np.ndarray

    def combined(self, logit_N: np.ndarray, sd_N: np.ndarray) -> pd.DataFrame:
        """Return the rows of a combined logit. Raises a UserError for a patch without one."""
        incomplete = np.flatnonzero(~np.isfinite(logit_N))
        if len(incomplete):
            raise UserError(
                f"{len(incomplete)} patches lack a member of a weighted source; the first: '{self.patch_id_N[incomplete[0]]}'.",
                fix="weight only sources that have scored every patch, or use mean_logit",
            )
        return pd.DataFrame(
            {
                "patch_id": self.patch_id_N,
                "part": self.part_N,
                "logit": logit_N,
                "member_sd": sd_N,
                "members": (self.views_NM > 0).sum(axis=1),
                "views": self.views_NM.max(axis=1, initial=0),
            }
        )


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


def _selected(scores: Scores, combiner: CombinerRecord) -> Scores:
    """Return the scores of the combiner's views and members."""
    rows = _select(_select(scores.scores, "view", combiner.views), "member", combiner.members)
    return scores if rows is scores.scores else Scores.unchecked(scores.patches, rows)


def _select(rows: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    if not names:
        return rows
    available = {str(name) for name in rows[column].unique()}
    for name in names:
        if name not in available:
            raise unknown_name(column, name, available, f"the column {column} of the scores")
    return rows[rows[column].isin(names)]


def by_member(scores: Scores, kind: CombinerKind = "mean_logit") -> MemberTable:
    """Return the means over views. Raises a UserError for incomplete scores, see `Combiner.apply`."""
    rows = scores.scores
    value = rows["logit"].to_numpy(float)
    value = sigmoid(value) if kind == "mean_probability" else value
    patch, known = table.codes(rows["patch_id"])
    position = pd.Index(scores.patches["patch_id"]).get_indexer(pd.Index(known)).astype(np.int32)
    part, parts = table.codes(rows["part"])
    cell = position[patch] * len(parts) + part
    is_present = np.bincount(cell, minlength=len(scores.patches) * len(parts)) > 0
    line = np.flatnonzero(is_present)  # patch by patch
    cell = (np.cumsum(is_present) - 1)[cell]
    member, members = table.codes(rows["member"])
    cell *= len(members)
    cell += member
    shape = (len(line), len(members))
    views_NM = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    logit_NM = divide(np.bincount(cell, weights=value, minlength=shape[0] * shape[1]).reshape(shape), views_NM)
    if kind == "mean_probability":
        logit_NM = logit_of(logit_NM)
    patches = scores.patches.iloc[line // max(1, len(parts))]
    part_N = np.array(parts, dtype=object)[line % max(1, len(parts))]
    result = MemberTable(patches["patch_id"].to_numpy(object), part_N, members, logit_NM, views_NM)
    _check_complete(result, patches["dataset"].astype(str).to_numpy(object))
    return result


def _check_complete(result: MemberTable, dataset_N: np.ndarray) -> None:
    """Raise a UserError if, within a part and dataset, patches differ in the number of views of a member.

    In the test part a member without any view of a patch is an error too.
    """
    key, keys = pd.factorize(pd.Series(result.part_N).astype(str) + "\x1f" + pd.Series(dataset_N))
    for index, (part, dataset) in enumerate(name.split("\x1f") for name in keys):
        rows = np.flatnonzero(key == index)
        count = result.views_NM[rows]
        expected = np.broadcast_to(count.max(0), count.shape)
        incomplete = count < expected if part != OUT_OF_FOLD else (count < expected) & (count > 0)
        if incomplete.any():
            row, column = (int(i[0]) for i in np.nonzero(incomplete))
            raise UserError(
                f"The scores of '{dataset}' are incomplete: patch '{result.patch_id_N[rows[row]]}' has"
                f" {int(count[row, column])} of {int(expected[row, column])} views of member '{result.members[column]}'.",
                fix="score it again, or select views and members that every patch has",
            )
