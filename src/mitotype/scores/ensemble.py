"""Ensembles: means over views and then members, and weights, as a record of plain numbers that a bundle can store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotype.core.mistakes import Mistake, unknown
from mitotype.core.words import OUT_OF_FOLD
from mitotype.scores.calibrate import logit_of, sigmoid

if TYPE_CHECKING:
    import pandas as pd

    from mitotype.scores.table import Scores

KINDS = ("mean_logit", "mean_probability", "weighted")


@dataclass(frozen=True)
class Combine:
    """How one logit per patch comes from many. `views` and `members` choose by name; empty means all that are there.

    mean_logit          the mean over views, then over members, of logits
    mean_probability    the same means of probabilities σ(logit); the result is turned back into a logit
    weighted            Σ weight(source) · mean logit of the source's members + intercept; a *source* is what stands before
                        the last "/" of a member's name ("uni2-h/fold3"), or the name itself
    """

    kind: str = "mean_logit"
    views: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    weights: tuple[tuple[str, float], ...] = ()
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Mistake(f"No ensemble is called '{self.kind}'.", allowed=", ".join(KINDS))
        if (self.kind == "weighted") != bool(self.weights):
            raise Mistake("A weighted ensemble names the weight of each source; no other ensemble has weights.")
        if not all(np.isfinite([*dict(self.weights).values(), self.intercept])):
            raise Mistake("The weights of an ensemble must be finite numbers.")

    def of_members(self, logit_NM: np.ndarray, members: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """One logit per patch and the members' spread, from N patches × M members (nan where a member has no score).

        The spread is the sample SD over members, of logits (of probabilities for `mean_probability`); nan for one member.
        """
        value = sigmoid(logit_NM) if self.kind == "mean_probability" else np.asarray(logit_NM, float)
        there = np.isfinite(value)
        count = there.sum(1)
        mean = _over(np.where(there, value, 0.0).sum(1), count)
        deviation = np.where(there, value - mean[:, None], 0.0)
        spread = np.sqrt(_over((deviation**2).sum(1), np.where(count > 1, count - 1, 0)))
        if self.kind == "mean_probability":
            return logit_of(mean), spread
        if self.kind == "mean_logit":
            return mean, spread
        logit_NS, sources = by_source(value, members)
        wanted = dict(self.weights)
        for source in wanted:
            if source not in sources:
                raise unknown("source of members", source, sources, "the column member of the scores")
        total = np.full(len(value), self.intercept)
        for source, weight in wanted.items():
            total += weight * logit_NS[:, sources.index(source)]
        return total, spread

    def apply(self, scores: Scores) -> pd.DataFrame:
        """One row per patch and part: patch_id, part, logit, spread, members, views, in the order of the patches.

        Raises a Mistake for a view or member that is not there, and for a patch that lacks a view or, in the test part, a
        member that others of its dataset have: a mean over less is another classifier.
        """
        import pandas as pd

        rows = _chosen(scores.scores, self.views, self.members)
        wide, counts = by_member(rows, self.kind)
        _check_whole(wide, counts, scores.patches)
        logit, spread = self.of_members(wide.to_numpy(float), [str(m) for m in wide.columns])
        short = np.flatnonzero(~np.isfinite(logit))
        if len(short):
            raise Mistake(
                f"{len(short)} patches lack a member of a weighted source; the first: '{wide.index[short[0]][0]}'.",
                fix="weigh sources that have scored every patch, or use mean_logit",
            )
        found = pd.DataFrame(
            {
                "patch_id": wide.index.get_level_values("patch_id"),
                "part": wide.index.get_level_values("part"),
                "logit": logit,
                "spread": spread,
                "members": wide.notna().sum(axis=1).to_numpy(int),
                "views": counts.max(axis=1).to_numpy(int),
            }
        )
        place = pd.Series(np.arange(len(scores.patches)), index=scores.patches["patch_id"])
        order = np.lexsort((found["part"].to_numpy(str), place.reindex(found["patch_id"]).to_numpy()))
        return found.iloc[order].reset_index(drop=True)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "views": list(self.views),
            "members": list(self.members),
            "weights": dict(self.weights),
            "intercept": self.intercept,
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Combine:
        try:
            return cls(
                str(told["kind"]),
                tuple(str(v) for v in told.get("views", ())),
                tuple(str(m) for m in told.get("members", ())),
                tuple((str(s), float(w)) for s, w in dict(told.get("weights", {})).items()),
                float(told.get("intercept", 0.0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Mistake(f"The ensemble {str(told)[:80]} cannot be read: {error!r}.") from error


def mean_logit(scores: Scores, *, views: Sequence[str] = (), members: Sequence[str] = ()) -> pd.DataFrame:
    """The mean of logits over views and then members. See `Combine.apply`."""
    return Combine("mean_logit", tuple(views), tuple(members)).apply(scores)


def mean_probability(scores: Scores, *, views: Sequence[str] = (), members: Sequence[str] = ()) -> pd.DataFrame:
    """The mean of probabilities over views and then members, as a logit. See `Combine.apply`."""
    return Combine("mean_probability", tuple(views), tuple(members)).apply(scores)


def source_of(member: str) -> str:
    return member.rsplit("/", 1)[0]


def by_source(logit_NM: np.ndarray, members: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The mean logit of each source's members, N × sources; nan where a source has none for a patch."""
    sources = list(dict.fromkeys(source_of(m) for m in members))
    columns = []
    for source in sources:
        mine = logit_NM[:, [source_of(m) == source for m in members]]
        there = np.isfinite(mine)
        columns.append(_over(np.where(there, mine, 0.0).sum(1), there.sum(1)))
    return np.stack(columns, axis=1), sources


def _over(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _chosen(scores: pd.DataFrame, views: Iterable[str], members: Iterable[str]) -> pd.DataFrame:
    for column, names in (("view", tuple(views)), ("member", tuple(members))):
        known = {str(name) for name in scores[column].unique()}
        for name in names:
            if name not in known:
                raise unknown(column, name, known, f"the column {column} of the scores")
        if names:
            scores = scores[scores[column].isin(names)]
    return scores


def by_member(rows: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patches × members: the mean over views, and how many views it was made of."""
    value = sigmoid(rows["logit"].to_numpy(float)) if kind == "mean_probability" else rows["logit"].to_numpy(float)
    grouped = rows.assign(value=value).groupby(["patch_id", "part", "member"], sort=True)["value"]
    wide = grouped.mean().unstack("member")
    if kind == "mean_probability":
        wide = wide.apply(lambda column: logit_of(column.to_numpy()))
    return wide, grouped.count().unstack("member")


def _check_whole(wide: pd.DataFrame, counts: pd.DataFrame, patches: pd.DataFrame) -> None:
    """Within a part and dataset a member has as many views of every patch; in the test part every member has every patch."""
    patch = wide.index.get_level_values("patch_id")
    dataset = patches.set_index("patch_id")["dataset"].reindex(patch).astype(str).to_numpy(str)
    part = wide.index.get_level_values("part").to_numpy(str)
    views = counts.to_numpy(float)
    for key in dict.fromkeys(zip(part, dataset, strict=True)):
        mine = (part == key[0]) & (dataset == key[1])
        there = np.nan_to_num(views[mine])
        wanted = np.broadcast_to(there.max(0), there.shape)
        short = there < wanted if key[0] != OUT_OF_FOLD else (there < wanted) & (there > 0)
        if short.any():
            row, column = (int(i[0]) for i in np.nonzero(short))
            raise Mistake(
                f"The scores of '{key[1]}' are not whole: patch '{patch[mine][row]}' has {int(there[row, column])} of"
                f" {int(wanted[row, column])} views of member '{wide.columns[column]}'.",
                fix="score it again, or choose the views and members that every patch has",
            )


def equal_weights(sources: Mapping[str, float] | Sequence[str]) -> Combine:
    """The plain mean over sources (each counts once, however many members it has), or the weights given, scaled to sum 1."""
    given = dict(sources) if isinstance(sources, Mapping) else dict.fromkeys(sources, 1.0)
    total = sum(given.values())
    if not total > 0:
        raise Mistake("The weights of an ensemble must have a positive sum.")
    return Combine("weighted", weights=tuple((source, weight / total) for source, weight in given.items()))
