"""M006: datasets that are known to share slides."""

from __future__ import annotations

from mitotype.core.schema import TEST
from mitotype.evaluation.checks.check import Evidence, add_check, split_rows


@add_check("M006", "dataset known to overlap a test set", "leak")
def known_overlap(evidence: Evidence) -> str | None:
    """A training dataset is known to share slides with a test dataset.

    MIDOG 2025's training set contains all of AtNorM-MD and 1,721 patches of AMi-Br, 429 of them in its test split. Images
    that were cropped again differ in their pixels, so that M004 cannot find them.

    To fix it: train with `--hold-out` naming the test set, or test on a set that is external (AtNorM-Br is).
    """
    training, test = split_rows(evidence)
    held_out = {name.removesuffix(f"-{TEST}") for name in evidence.held_out} | set(evidence.held_out)
    tested = set(test["dataset"].astype(str)) - held_out
    for name in training["dataset"].astype(str).unique():
        shared = [other for other in evidence.overlaps.get(name, ()) if other in tested and other != name]
        if shared:
            return f"The training dataset '{name}' shares slides with {', '.join(repr(other) for other in shared)}."
    return None
