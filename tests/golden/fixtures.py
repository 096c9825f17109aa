"""The fixtures in v0_1_0/, which version 0.1.0 wrote: runs and bundles.

run/, bundle/         the smallest net, two folds and one member on every patch, scored and evaluated
bundle_lora/          LoRA on a tiny transformer, with its base
bundle_morphology/    shape descriptors with a logistic head

The nets are not the package's own: `cohorts.small_nets` registers them.
"""

from __future__ import annotations

import pandas as pd

from tests.golden.numbers import HERE, Flat, flat
from tests.golden.package import OUT_OF_FOLD, TEST, Cohort, Decision, evaluate, records, table

FOLDER = HERE / "v0_1_0"
NAMES = ("run", "bundle", "bundle_lora", "bundle_morphology")
N_BOOT, N_SAMPLES = 200, 16


def sample(cohort: Cohort) -> Cohort:
    """16 patches of both parts."""
    rows = [i * len(cohort) // N_SAMPLES for i in range(N_SAMPLES)]
    return cohort.take(pd.Series(range(len(cohort))).isin(rows))


def evaluation() -> Flat:
    """Both parts of the run's scores, evaluated by its decision."""
    scores = table.read(FOLDER / "run")
    decision = records.read(FOLDER / "run" / "decision.json", Decision)
    parts = {part: evaluate(scores, decision, part=part, n_boot=N_BOOT) for part in (TEST, OUT_OF_FOLD)}
    return flat(records.to_builtins(parts))


def stored_logits() -> Flat:
    """The test rows in the run's table."""
    rows = table.read(FOLDER / "run").take(part=TEST).scores
    return {f"{row.patch_id}/{row.member}/{row.view}": row.logit for row in rows.itertuples(index=False)}
