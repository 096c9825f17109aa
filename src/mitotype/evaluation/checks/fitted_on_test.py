"""M002: a decision that was fitted on test rows."""

from __future__ import annotations

from mitotype.evaluation.checks.check import Evidence, add_check, split_rows
from mitotype.scores.decision import has_digest, short_digest


@add_check("M002", "decision fitted on test rows", "leak")
def fitted_on_test(evidence: Evidence) -> str | None:
    """Calibration, threshold or abstention were fitted on images of a test set.

    The threshold alone moves balanced accuracy by several points; chosen on the test set it makes any model look tuned.

    To fix it: fit the decision on out-of-fold rows of the training patches, which is what `mitotype evaluate` does.
    """
    training, test = split_rows(evidence)
    seen = test[has_digest(test, evidence.decision.digests)]
    # M004 reports images that are also training images; these are the others.
    seen = seen[~has_digest(seen, map(short_digest, training["digest"]))]
    if len(seen):
        return f"The decision was fitted on {len(seen)} images of a test set; the first: '{seen.iloc[0]['patch_id']}'."
    return None
