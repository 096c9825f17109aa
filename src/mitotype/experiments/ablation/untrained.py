"""Fits that learned nothing: an effect that rests on them is that of a training that fails, not of a trained net."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mitotype.evaluation.metrics import compute
from mitotype.scores.calibrate import sigmoid
from mitotype.scores.member_table import by_member
from mitotype.scores.table import Scores

CHANCE = 0.55  # AUROC on the fold left out, which has some hundred patches


def untrained_members(scores: Scores) -> list[str]:
    """Return the members whose AUROC on the patches that they left out is below `CHANCE`; of both classes there are patches."""
    table = by_member(scores)
    label_N = scores.joined(pd.DataFrame({"patch_id": table.patch_id_N}))["label"].to_numpy()

    def auroc(logit_N: np.ndarray) -> float:
        is_scored_N = np.isfinite(logit_N)
        y, logit = label_N[is_scored_N], logit_N[is_scored_N]
        return compute("auroc", y, logit >= 0, sigmoid(logit), logit).value

    return [name for name, logit_N in zip(table.members, table.logit_NM.T, strict=True) if auroc(logit_N) < CHANCE]
