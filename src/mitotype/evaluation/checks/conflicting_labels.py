"""M005: one image with different labels."""

from __future__ import annotations

import pandas as pd

from mitotype.evaluation.checks.check import Evidence, add_check, with_digest


@add_check("M005", "conflicting labels for one image", "warning")
def conflicting_labels(evidence: Evidence) -> str | None:
    """The same image, pixel for pixel, has different labels.

    No model can be correct on both. Evaluation counts each image once and leaves such groups out; the count over all files
    is printed too.

    To fix it: look at the image, and correct the label or drop it at its source.
    """
    patches = evidence.scores.patches
    patches = with_digest(patches)
    patches = patches.assign(label=pd.to_numeric(patches["label"], errors="coerce"))
    labels = patches.groupby("digest")["label"].nunique()
    conflicting = patches[patches["digest"].isin(labels.index[labels > 1])]
    if len(conflicting):
        groups = [", ".join(g["patch_id"].astype(str)) for _, g in conflicting.groupby("digest", sort=False)]
        return f"{len(groups)} images: {'; '.join(groups[:5])}{' …' if len(groups) > 5 else ''}."
    return None
