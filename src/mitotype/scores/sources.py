"""Sources: the out-of-fold logits of several runs, one column each, as a combiner is fitted on them.

Shapes: N labelled out-of-fold rows, S sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mitotype.core.errors import UserError
from mitotype.core.run_layout import CrossFitUnit
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores.decision import unit_keys
from mitotype.scores.ensemble import Combiner, by_source
from mitotype.scores.member_table import by_member
from mitotype.scores.table import Scores


@dataclass(frozen=True)
class SourceRows:
    """`logit_NS` is the mean logit of each source's members; `label_N` is 0..1, `case_N` the unit of folds: a case, or a domain.

    `rows` has one row per patch: patch_id, part, member_sd, members, views, and the columns of the patch.
    """

    sources: list[str]
    logit_NS: np.ndarray
    label_N: np.ndarray
    case_N: np.ndarray
    rows: pd.DataFrame

    def take(self, mask_N: np.ndarray) -> SourceRows:
        """Return some of the rows (a mask or indices)."""
        rows = self.rows[mask_N].reset_index(drop=True)
        return SourceRows(self.sources, self.logit_NS[mask_N], self.label_N[mask_N], self.case_N[mask_N], rows)


def source_rows(scores: Scores, target: np.ndarray | None = None, *, unit: CrossFitUnit = "case") -> SourceRows:
    """Return the labelled rows of the scores. `target` (0..1, in the order of `mean_logit(scores)`) replaces the labels.

    Raises M002 for rows that are not out-of-fold, and a UserError for a patch that a source lacks and for rows of one class.
    """
    if (scores.scores["part"] != OUT_OF_FOLD).any():
        raise UserError("A combiner cannot be fitted on test rows.", code="M002", fix="fit it on part 'out-of-fold'")
    table = by_member(scores)
    logit_NS, sources = by_source(table.logit_NM, table.members)
    incomplete = np.flatnonzero(~np.isfinite(logit_NS).all(axis=1))
    if len(incomplete):
        raise UserError(
            f"{len(incomplete)} out-of-fold patches have no score of a source, the first '{table.patch_id_N[incomplete[0]]}';"
            f" the two or more sources of the scores are {', '.join(sources)}.",
            fix="name the members <source>/<member>, as 'uni2-h/fold3', or leave out patches that not all have scored",
        )
    mean, sd_N = Combiner().combine(table.logit_NM, table.members)
    rows = scores.joined(table.combined(mean, sd_N)).drop(columns="logit")
    label_N = rows["label"].to_numpy(float) if target is None else np.asarray(target, float)
    labelled = np.isfinite(label_N)
    if not labelled.any() or label_N[labelled].min() == label_N[labelled].max():
        raise UserError("A combiner cannot be fitted on rows of one class.", fix="fit it on both classes")
    result = SourceRows(sources, logit_NS, label_N, unit_keys(rows, unit), rows)
    return result if labelled.all() else result.take(labelled)


def weighted(sources: Sequence[str], weight_S: np.ndarray, intercept: float = 0.0) -> Combiner:
    """Return the weighted sum of sources; those of weight 0 are left out."""
    weights = {name: float(weight) for name, weight in zip(sources, weight_S, strict=True) if weight}
    return Combiner("weighted", weights=weights, intercept=float(intercept))
