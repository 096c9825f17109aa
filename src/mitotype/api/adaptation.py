"""Adapt a bundle to the labels of one laboratory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mitotype.api.data import Data, read_cohorts, source_names
from mitotype.api.deployment import open_bundle
from mitotype.api.progress import Progress, log_notes
from mitotype.core import files, html_text, number_format, outputs
from mitotype.core.cpu_limit import use_threads
from mitotype.core.run_layout import LocalLabelsRecord, bundle_digest, check_no_run, now, read_bundle
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.schema import join
from mitotype.deploy import predictor
from mitotype.deploy.adapted import write_adapted
from mitotype.deploy.bundle import find_bundle
from mitotype.evaluation.interval import t_interval
from mitotype.evaluation.metrics import Number, bootstrap_metrics, compute
from mitotype.evaluation.resample import Bootstrap, bootstrap_cases
from mitotype.scores import adapt as adaptation
from mitotype.scores.decision import case_keys

METRIC = "balanced_accuracy"


@dataclass(frozen=True, repr=False)
class Adaptation:
    """A bundle with a decision that was adapted to labels, and what that changed on them; `adapt` returns it.

    Parameters
    ----------
    dir : Path
        The folder of the new bundle. Anything that takes a path takes the Adaptation too.
    labels : LocalLabelsRecord
        Number and digests of the labels, and the balanced accuracies ``before``, ``after`` (cross-fitted by case) and their
        paired ``difference``, with intervals over cases.

    See Also
    --------
    adapt : Adapt a bundle to the labels of one laboratory.
    classify : Classify images.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> mitotype.adapt("morphology", "cohort", "adapted", n_boot=100).to_frame()["decision"].tolist()
    ['before', 'after, cross-fitted', 'difference']
    """

    dir: Path
    labels: LocalLabelsRecord

    def __fspath__(self) -> str:
        return str(self.dir)

    def __repr__(self) -> str:
        return f"<Adaptation '{self.dir}', {self.labels.patches} labels, difference {_shown(self.labels.difference)}>"

    def __str__(self) -> str:
        lines = [f"  {title:20} {_shown(interval)} {interval.reason}".rstrip() for title, interval in self._intervals()]
        return "\n".join([self._title(), *lines])

    @property
    def is_decisive(self) -> bool:
        """Whether the labels show that the adapted decision is better or worse: the interval of the difference excludes 0."""
        low, high = self.labels.difference.low, self.labels.difference.high
        return low is not None and high is not None and not low <= 0 <= high

    def to_frame(self) -> pd.DataFrame:
        """Return the balanced accuracies on the labels as a table.

        Returns
        -------
        pandas.DataFrame
            Columns decision ("before", "after, cross-fitted", "difference"), value, low, high; nan where undefined.
        """
        rows = [(title, interval.value, interval.low, interval.high) for title, interval in self._intervals()]
        numbers = dict.fromkeys(("value", "low", "high"), float)
        return pd.DataFrame(rows, columns=["decision", *numbers]).astype(numbers)

    def _intervals(self) -> list[tuple[str, Interval]]:
        labels = self.labels
        return [("before", labels.before), ("after, cross-fitted", labels.after), ("difference", labels.difference)]

    def _title(self) -> str:
        labels = self.labels
        counts = f"{labels.patches} figures ({labels.atypical} atypical) of {labels.cases} cases"
        return f"{counts}; balanced accuracy on them"

    def _repr_html_(self) -> str:
        rows = [(title, _shown(interval)) for title, interval in self._intervals()]
        return html_text.table(f"{self.dir}: {self._title()}", rows, ("decision", "balanced accuracy"))


def _shown(interval: Interval) -> str:
    return number_format.interval(interval.value, interval.low, interval.high)


def adapt(
    bundle: str | os.PathLike[str],
    data: Data,
    out: str | Path,
    *,
    name: str = "",
    mpp_um: float | None = None,
    device: str = "cpu",
    n_boot: int = 2000,
    seed: int = 0,
    threads: int | None = None,
    quiet: bool = True,
) -> Adaptation:
    """Write a bundle with calibration and threshold adapted to labels of one's own; the members stay the same.

    Parameters
    ----------
    bundle : str or Path
        Folder of a bundle, or name of one that ships with the package.
    data : str, Path, DataFrame, Cohort, or several of these
        Labelled figures, see `read_cohort`; 50 to 200 are typical. Those without a label are left out.
    out : str or Path
        Folder of the new bundle.
    name : str, default ""
        Name of the new bundle. Default: that of `bundle`, followed by ``-adapted``.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.
    device : str, default "cpu"
        ``cpu``, ``cuda``, ``cuda:1`` … or ``auto``.
    n_boot : int, default 2000
        Bootstrap replicates over cases.
    seed : int, default 0
        Seed of the folds and of the bootstrap.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    Adaptation
        The folder, and balanced accuracy on the labels before and after, cross-fitted by case.

    Raises
    ------
    UserError
        For labels that are too few, images that the bundle was trained on or adapted to (M004), a run in place of a bundle,
        and a folder that contains anything else.

    See Also
    --------
    classify : Classify images.
    bundle : Make a bundle of a run.

    Notes
    -----
    The new decision holds the digests of these images, so scoring them for an evaluation is refused.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> adapted = mitotype.adapt("morphology", "cohort", "adapted", n_boot=100)
    >>> adapted.labels.patches
    60
    >>> len(mitotype.classify(mitotype.example_images(), adapted))
    6
    """
    use_threads(threads)
    folder = find_bundle(os.fspath(bundle))
    check_no_run(folder)
    outputs.check_folder(Path(out), inputs=[folder, *source_names(data)])
    cohort = join(read_cohorts(data, mpp_um=mpp_um))
    labelled = cohort.take(cohort.rows["label"].notna())
    dataset = labelled.rows.get("dataset", labelled.name)
    adaptation.check_enough(labelled.rows.assign(dataset=dataset))  # before the members are read
    opened = open_bundle(folder, device=device, threads=threads)
    with Progress(quiet=quiet) as progress:
        advance = progress.counter(f"score {cohort.name}", len(labelled))
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
        sources=[Path(source.rpartition("=")[2]).name for source in source_names(data)],
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
    write_adapted(folder, Path(out), adapted.decision, local, name=name)
    log_notes(notes)
    return Adaptation(Path(out), local)


def _compared(before: pd.DataFrame, after: pd.DataFrame, n_boot: int, seed: int) -> tuple[Interval, Interval, Interval]:
    """Return the balanced accuracies of two decisions on the same rows and their paired difference, over cases."""
    bootstrap = bootstrap_cases(before.assign(case=case_keys(before)), n_boot=n_boot, seed=seed)
    label = before["label"].to_numpy(float)
    (value_a, a), (value_b, b) = (_replicates(rows, label, bootstrap) for rows in (before, after))
    difference = Number(value_b.value - value_a.value)
    return (
        t_interval(value_a, a, bootstrap),
        t_interval(value_b, b, bootstrap),
        t_interval(difference, b - a, bootstrap, scale="real", paired=True),
    )


def _replicates(rows: pd.DataFrame, label: np.ndarray, bootstrap: Bootstrap) -> tuple[Number, np.ndarray]:
    predicted = (rows["class"] == "atypical").to_numpy(int)
    replicates = bootstrap_metrics([METRIC], label, predicted, predicted.astype(float), bootstrap)
    return compute(METRIC, label, predicted, predicted.astype(float)), replicates[METRIC]
