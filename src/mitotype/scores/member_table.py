"""Member table: the scores of a table as patches by members, with the mean over views, checked to be complete."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mitotype.core.errors import UserError
from mitotype.core.rates import divide
from mitotype.core.run_layout.decision import CombinerKind
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores import table
from mitotype.scores.calibrate import logit_of, sigmoid
from mitotype.scores.table import Scores


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
