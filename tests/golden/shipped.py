"""What bundles and runs say of synthetic patches, in float32 whatever the machine's own precision is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.golden.numbers import Flat, flat
from tests.golden.package import CODES, Cohort, classify, scorer


def answers(where: str, cohort: Cohort) -> Flat:
    """Probability, decision, class, spread and number of flags of every patch."""
    opened = replace(scorer.open_scorer(where), precision="fp32")
    given = classify.classify(opened, [(Path(path), 0.25) for path in cohort.rows["path"]])
    plain = [answer.plain() for answer in given]
    return flat({
        name.rsplit("/", 1)[-1]: {
            "probability": one["probability"], "decision": CODES[one["decision"]], "class": CODES[one["class"]],
            "spread": one["spread"], "flags": len(one["flags"]),
        }
        for name, one in zip(cohort.rows["patch_id"], plain, strict=True)
    })  # fmt: skip


def logits(where: str, cohort: Cohort) -> Flat:
    """The raw logits of a test cohort, by patch, member and view."""
    opened = replace(scorer.open_scorer(where), precision="fp32")
    rows = scorer.score(opened, cohort).scores
    return {f"{row.patch_id}/{row.member}/{row.view}": row.logit for row in rows.itertuples(index=False)}
