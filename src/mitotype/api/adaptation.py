"""Adapt a bundle to the labels of one laboratory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mitotype.api.data import read_cohorts
from mitotype.api.deployment import open_bundle
from mitotype.api.progress import Progress, no_progress
from mitotype.core import files, outputs
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LocalLabelsRecord, bundle_digest, names, now, read_bundle
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import join
from mitotype.deploy import predictor
from mitotype.deploy.adapted import write_adapted
from mitotype.deploy.bundle import find_bundle
from mitotype.evaluation.interval import REAL, t_interval
from mitotype.evaluation.metrics import Number, balanced_accuracy
from mitotype.evaluation.resample import Bootstrap, bootstrap_cases, bootstrap_metrics
from mitotype.scores import adapt as adaptation
from mitotype.scores.decision import case_keys

METRIC = "balanced_accuracy"


def adapt(
    bundle: str | Path,
    data: Sequence[str],
    out: Path,
    *,
    name: str = "",
    mpp_um: float | None = None,
    device: str = "cpu",
    n_boot: int = 2000,
    seed: int = 0,
    progress: Progress = no_progress,
) -> LocalLabelsRecord:
    """Write a bundle with calibration and threshold adapted to the labels of `data`, and return what that changed on them.

    The members are those of `bundle` (a folder, or a shipped name). Labels of 50 to 200 figures are typical. The numbers are
    cross-fitted by case, with intervals over cases; see `scores.adapt.fit` for what is fitted. The new decision holds the
    digests of these images: evaluating on them is refused.

    Raises a UserError for labels that are too few (see `scores.adapt.check_enough`), and M004 for images that the bundle was
    trained on or adapted to.
    """
    folder = find_bundle(str(bundle))
    if not names.is_bundle(folder):
        raise UserError(f"'{bundle}' is a run.", fix=f"make a bundle of it: mitotype bundle {bundle} --out DIR")
    outputs.check_folder(out, inputs=[folder, *data])
    cohort = join(read_cohorts(data, mpp_um=mpp_um))
    labelled = cohort.take(cohort.rows["label"].notna())
    dataset = labelled.rows.get("dataset", labelled.name)
    adaptation.check_enough(labelled.rows.assign(dataset=dataset))  # before the members are read
    opened = open_bundle(folder, device=device)
    with progress(f"score {cohort.name}", len(labelled)) as advance:
        scores = predictor.score(opened, labelled, on_progress=advance)
    rows = scores.joined(opened.combiner.apply(scores))
    repeated = rows["digest"].duplicated()
    rows = rows[~repeated].reset_index(drop=True)
    adaptation.check_enough(rows)
    adapted = adaptation.fit(rows, opened.decision, seed=seed)
    before, after, difference = _compared(
        opened.decision.apply(rows), adaptation.cross_fitted(rows, opened.decision, seed=seed), n_boot, seed
    )
    unlabelled, unknown = len(cohort) - len(labelled), int(rows["case_id"].isna().sum())
    notes = [
        *cohort.notes,
        *([f"{unlabelled} figures without a label are left out"] if unlabelled else []),
        *([f"{int(repeated.sum())} repeated images are left out"] if repeated.any() else []),
        *(
            [f"{unknown} figures have no case and are cases of their own: intervals may be too narrow"]
            if unknown
            else []
        ),
    ]
    local = LocalLabelsRecord(
        sources=[Path(source.rpartition("=")[2]).name for source in data],
        patches=len(rows),
        atypical=int(rows["label"].sum()),
        cases=len(np.unique(case_keys(rows))),
        digest=files.digest_of(*sorted(rows["digest"])),
        bundle=bundle_digest(read_bundle(folder)),
        slope=adapted.slope,
        intercept=adapted.intercept,
        weight=adapted.weight,
        threshold_before=opened.decision.threshold.value,
        before=before,
        after=after,
        difference=difference,
        notes=notes,
        created=now(),
    )
    write_adapted(folder, out, adapted.decision, local, name=name)
    return local


def _compared(before: pd.DataFrame, after: pd.DataFrame, n_boot: int, seed: int) -> tuple[Interval, Interval, Interval]:
    """Return the balanced accuracies of two decisions on the same rows and their paired difference, over cases."""
    bootstrap = bootstrap_cases(before.assign(case=case_keys(before)), n_boot=n_boot, seed=seed)
    label = before["label"].to_numpy(float)
    (value_a, a), (value_b, b) = (_replicates(rows, label, bootstrap) for rows in (before, after))
    difference = Number(value_b.value - value_a.value)
    return (
        t_interval(value_a, a, bootstrap),
        t_interval(value_b, b, bootstrap),
        t_interval(difference, b - a, bootstrap, scale=REAL, paired=True),
    )


def _replicates(rows: pd.DataFrame, label: np.ndarray, bootstrap: Bootstrap) -> tuple[Number, np.ndarray]:
    predicted = (rows["class"] == "atypical").to_numpy(int)
    replicates = bootstrap_metrics([METRIC], label, predicted, predicted.astype(float), bootstrap)
    return balanced_accuracy(label, predicted), replicates[METRIC]
