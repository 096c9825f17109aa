"""M004: the same image in training and test."""

from __future__ import annotations

from mitotype.evaluation.checks.check import Evidence, add_check, split_rows, with_digest


@add_check("M004", "same image in training and test", "leak")
def image_in_both(evidence: Evidence) -> str | None:
    """An image of a test set, pixel for pixel, is among the training patches.

    To fix it: train with `--hold-out` naming the test set, which takes out what it shares by slide and by image digest.
    """
    training, test = (with_digest(rows) for rows in split_rows(evidence))
    both = test[test["digest"].isin(set(training["digest"]))]
    if len(both):
        return f"{len(both)} test images are training images too; the first: '{both.iloc[0]['patch_id']}'."
    return None
