"""Check that every out-of-fold row comes from a member that was trained on no patch of its case, its lineage included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mitotype.core.errors import UserError
from mitotype.core.run_layout.training import trained_on
from mitotype.scores.decision import case_keys, has_digest


def check_unseen(run_dir: Path, rows: pd.DataFrame) -> None:
    """Check the out-of-fold rows of a run: patch_id, member, and the columns of its patches.

    Cases are compared by dataset and case id, images by their digests; the parts of a published dataset share their cases.
    Raises M001 for a row whose case a member, its initial weights or its teachers were trained on.
    """
    trained: dict[Path | None, tuple[frozenset[str], frozenset[str]]] = {}
    for member, own in rows.groupby("member", sort=True, observed=True):
        case, digest = cases_of(own), own["digest"].astype(str).to_numpy(object)
        for part in trained_on(run_dir, str(member)):
            if part.patches is None:
                seen = has_digest(own, part.digests)
                seen = np.isin(case, np.unique(case[seen]))
            else:
                if part.member_dir not in trained:
                    patches = part.patches
                    trained[part.member_dir] = (
                        frozenset(cases_of(patches)),
                        frozenset(patches["digest"].astype(str)) - {""},
                    )
                cases, digests = trained[part.member_dir]
                seen = np.array([c in cases or d in digests for c, d in zip(case, digest, strict=True)], bool)
            if seen.any():
                first = own["patch_id"].iloc[int(np.argmax(seen))]
                what = (
                    f"{int(seen.sum())} out-of-fold rows of the member '{member}' of '{run_dir}' are of cases that"
                    f" '{part.by}' was trained on; the first: '{first}'."
                )
                raise UserError(
                    what, code="M001", fix="train with folds by case, and initial weights of the same folds"
                )


def cases_of(rows: pd.DataFrame) -> np.ndarray:
    """Return dataset and case of every row, the same for all parts of a dataset; a patch without a case is one of its own."""
    dataset = rows["dataset"].astype(str).str.replace(r"-(train|test)$", "", regex=True)
    return case_keys(rows.assign(dataset=dataset)).astype(object)
