"""Predictions of bundles and runs for synthetic patches, in float32 whatever the precision of the machine is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.golden.numbers import Flat, flat
from tests.golden.package import CODES, Cohort, classify, predictor


def predictions(source: str, cohort: Cohort) -> Flat:
    """Probability, decision, class, spread and number of flags of every patch."""
    opened = replace(predictor.open_predictor(source), precision="fp32")
    results = classify.classify(opened, [classify.Source(Path(path), 0.25) for path in cohort.rows["path"]])
    return flat({
        name.rsplit("/", 1)[-1]: {
            "probability": result.probability, "decision": CODES[result.decision], "class": CODES[result.label_name],
            "member_sd": result.member_sd, "flags": len(result.flags),
        }
        for name, result in zip(cohort.rows["patch_id"], results, strict=True)
    })  # fmt: skip


def logits(source: str, cohort: Cohort) -> Flat:
    """The raw logits of a test cohort, by patch, member and view."""
    opened = replace(predictor.open_predictor(source), precision="fp32")
    rows = predictor.score(opened, cohort).scores
    return {f"{row.patch_id}/{row.member}/{row.view}": row.logit for row in rows.itertuples(index=False)}
