"""Ensembles: means over views and then members, or a weighted sum, as a record of plain numbers that a bundle stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mitotype.core.errors import UserError, unknown_name
from mitotype.core.rates import divide
from mitotype.core.run_layout import CombinerRecord
from mitotype.core.schema import OUT_OF_FOLD
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

    def apply(self, scores: Scores) -> pd.DataFrame:
        """Return one row per patch and part: patch_id, part, logit, member_sd, members, views, in the order of the patches.

        Raises a UserError for an unknown view or member, and for a patch that lacks a view or, in the test part, a member
        that others of its dataset have: a mean over fewer is another classifier.
        """
        import pandas as pd  # not at the top: classify imports this file and needs no tables

        rows = _select(_select(scores.scores, "view", self.views), "member", self.members)
        wide, n_views = by_member(rows, self.kind)
        _check_complete(n_views, scores.patches)
        logit, member_sd = self.combine(wide.to_numpy(float), [str(m) for m in wide.columns])
        incomplete = np.flatnonzero(~np.isfinite(logit))
        if len(incomplete):
            raise UserError(
                f"{len(incomplete)} patches lack a member of a weighted source; the first: '{wide.index[incomplete[0]][0]}'.",
                fix="weight only sources that have scored every patch, or use mean_logit",
            )
        combined = pd.DataFrame(
            {
                "patch_id": wide.index.get_level_values("patch_id"),
                "part": wide.index.get_level_values("part"),
                "logit": logit,
                "member_sd": member_sd,
                "members": wide.notna().sum(axis=1).to_numpy(int),
                "views": n_views.max(axis=1).to_numpy(int),
            }
        )
        position = pd.Series(np.arange(len(scores.patches)), index=scores.patches["patch_id"])
        order = np.lexsort((combined["part"].to_numpy(str), position.reindex(combined["patch_id"]).to_numpy()))
        return combined.iloc[order].reset_index(drop=True)


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


def _select(scores: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    _selected([str(name) for name in scores[column].unique()], column, names)
    return scores[scores[column].isin(names)] if names else scores


def _selected(available: Sequence[str], column: str, names: Sequence[str]) -> list[str]:
    """Return the available members or views that are in `names`, all of them where it is empty."""
    for name in names:
        if name not in available:
            raise unknown_name(column, name, available, f"the column {column} of the scores")
    return [name for name in available if name in names or not names]


def by_member(rows: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the mean over views and the number of views, both patches × members."""
    value = sigmoid(rows["logit"].to_numpy(float)) if kind == "mean_probability" else rows["logit"].to_numpy(float)
    grouped = rows.assign(value=value).groupby(["patch_id", "part", "member"], sort=True)["value"]
    wide = grouped.mean().unstack("member")
    if kind == "mean_probability":
        wide = wide.apply(lambda column: logit_of(column.to_numpy()))
    return wide, grouped.count().unstack("member")


def _check_complete(n_views: pd.DataFrame, patches: pd.DataFrame) -> None:
    """Raise a UserError if, within a part and dataset, patches differ in the number of views of a member.

    In the test part a member without any view of a patch is an error too.
    """
    patch = n_views.index.get_level_values("patch_id")
    dataset = patches.set_index("patch_id")["dataset"].reindex(patch).astype(str).to_numpy(str)
    part = n_views.index.get_level_values("part").to_numpy(str)
    for key in dict.fromkeys(zip(part, dataset, strict=True)):
        selected = (part == key[0]) & (dataset == key[1])
        count = np.nan_to_num(n_views.to_numpy(float)[selected])
        expected = np.broadcast_to(count.max(0), count.shape)
        incomplete = count < expected if key[0] != OUT_OF_FOLD else (count < expected) & (count > 0)
        if incomplete.any():
            row, column = (int(i[0]) for i in np.nonzero(incomplete))
            raise UserError(
                f"The scores of '{key[1]}' are incomplete: patch '{patch[selected][row]}' has {int(count[row, column])} of"
                f" {int(expected[row, column])} views of member '{n_views.columns[column]}'.",
                fix="score it again, or select views and members that every patch has",
            )
