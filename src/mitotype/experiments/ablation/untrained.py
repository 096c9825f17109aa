"""Fits that learned nothing: an effect that rests on them is that of a training that fails, not of a trained net."""

from __future__ import annotations

from mitotype.evaluation.metrics import compute
from mitotype.scores.calibrate import sigmoid
from mitotype.scores.table import Scores

CHANCE = 0.55  # AUROC on the fold left out, which has some hundred patches


def untrained_members(scores: Scores) -> list[str]:
    """Return the members whose AUROC on the patches that they left out is below `CHANCE`; of both classes there are patches."""
    view_mean = scores.scores.groupby(["member", "patch_id"], observed=True, as_index=False)[["logit"]].mean()
    untrained = []
    for member, rows in scores.joined(view_mean).groupby("member", observed=True):
        label_N, logit_N = rows["label"].to_numpy(), rows["logit"].to_numpy()
        auroc = compute("auroc", label_N, logit_N >= 0, sigmoid(logit_N), logit_N).value
        if auroc < CHANCE:
            untrained.append(str(member))
    return untrained
