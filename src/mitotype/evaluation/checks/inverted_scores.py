"""M007: scores of the other class."""

from __future__ import annotations

import numpy as np

from mitotype.core.schema import TEST
from mitotype.evaluation.checks.check import Evidence, add_check
from mitotype.evaluation.metrics import compute
from mitotype.scores.ensemble import mean_logit

MIN_AUROC = 0.4


@add_check("M007", "scores may be of the other class", "warning")
def inverted_scores(evidence: Evidence) -> str | None:
    """On a test set the scores rank normal figures above atypical ones.

    A score here is that of the atypical class, whatever the decided class. P(normal), or the confidence in the winning class
    (one submission to MIDOG 2025 wrote that and reached AUROC .21), gives a value far below one half.

    To fix it: write P(atypical) into the column `score`.
    """
    test = evidence.scores.take(part=TEST)
    if not len(test):
        return None
    rows = test.joined(mean_logit(test)).dropna(subset=["label"])
    for dataset, group in rows.groupby("dataset", sort=False):
        label, logit = (group[name].to_numpy(float) for name in ("label", "logit"))
        number = compute("auroc", label, logit > 0, logit)
        if not np.isnan(number.value) and number.value < MIN_AUROC:
            return f"AUROC is {number.value:.3f} on '{dataset}'."
    return None
