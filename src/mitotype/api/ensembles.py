"""Ensembles of finished runs, from their score tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mitotype.api.evaluations import Evaluation
from mitotype.api.progress import LOGGER, Progress, log_notes
from mitotype.api.scoring import evaluate
from mitotype.core import files, html_text, outputs, records
from mitotype.core.folder_lock import OccupiedError
from mitotype.core.interrupts import continued_by
from mitotype.core.run_layout import DecisionRecord, names, now, read_ensemble
from mitotype.core.schema import OUT_OF_FOLD
from mitotype.scores import run_ensemble, table
from mitotype.scores.run_ensemble import RunEnsemble


@dataclass(frozen=True, repr=False)
class Ensemble:
    """The folder of an ensemble of runs; `ensemble` returns it.

    Parameters
    ----------
    dir : Path
        The folder. Anything that takes a path takes the Ensemble too.

    See Also
    --------
    ensemble : Combine finished runs.
    score : Score test data with an ensemble.
    bundle : Make a bundle of an ensemble.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> run = mitotype.train("morphology", "cohort", out="run", settings=["folds=2"])
    >>> mitotype.ensemble([run], "alone").weights
    {'run': 1.0}
    """

    dir: Path

    def __fspath__(self) -> str:
        return str(self.dir)

    def __repr__(self) -> str:
        record = read_ensemble(self.dir)
        return f"<Ensemble '{self.dir}' of {len(record.sources)} runs, combined by {record.rule}>"

    def __str__(self) -> str:
        record = read_ensemble(self.dir)
        lines = [f"{name}: weight {weight:.4f}" for name, weight in self.weights.items()]
        lines = lines or [source.name for source in record.sources]
        counts = f"{len(record.sources)} runs on {record.patches} patches of {record.cases} cases"
        return "\n".join([*lines, f"{self.dir} is an ensemble of {counts}"])

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each run's logit; empty for a classifier of scikit-learn."""
        record = read_ensemble(self.dir)
        fitted = record.combiner.weights
        return {source.name: fitted.get(source.name, 0.0) for source in record.sources} if fitted else {}

    def evaluate(self, part: str = OUT_OF_FOLD, *, n_boot: int = 2000) -> Evaluation:
        """Evaluate the scores of the ensemble.

        Parameters
        ----------
        part : {"out-of-fold", "test"}, default "out-of-fold"
            Rows to evaluate.
        n_boot : int, default 2000
            Bootstrap replicates over cases.

        Returns
        -------
        Evaluation
            Metrics with intervals; out-of-fold rows are combined and decided by cross-fitting.
        """
        return evaluate(self.dir, part=part, n_boot=n_boot)

    def _repr_html_(self) -> str:
        record, weights = read_ensemble(self.dir), self.weights
        rows = [(source.name, f"{weights[source.name]:.4f}" if weights else "none") for source in record.sources]
        return html_text.table(f"Ensemble {self.dir}: {record.rule}", rows, ("run", "weight"))


def ensemble(
    runs: Sequence[str | os.PathLike[str]],
    out: str | Path,
    *,
    combiner: str = "mean",
    calibration: str = "",
    threshold: str = "",
    abstention: str = "",
    seed: int = 0,
    quiet: bool = True,
) -> Ensemble:
    """Combine finished runs into an ensemble, from their stored scores; no image is read.

    Parameters
    ----------
    runs : sequence of str, Path or Run
        Folders of finished runs, whose out-of-fold rows are used.
    out : str or Path
        Folder of the ensemble. The same call again returns the ensemble that is there.
    combiner : str, default "mean"
        One of ``mean``, ``weights(0.7, 0.3)``, ``stack``, ``greedy`` and ``sklearn(NAME)``: see ``mitotype combiners``.
    calibration, threshold, abstention : str, default ""
        Rules of the ensemble's own decision, which is fitted on its cross-fitted rows. Default: the rules of the first run.
    seed : int, default 0
        Seed of the folds of cross-fitting, and of combiners that are random.
    quiet : bool, default True
        Show no messages.

    Returns
    -------
    Ensemble
        The folder; `score`, `evaluate`, `compare` and `bundle` take it as they take a run.

    Raises
    ------
    UserError
        For a row of a case that a member, its initial weights or its teachers were trained on (M001), runs that are not
        finished or have changed, and a folder that contains anything else.

    See Also
    --------
    train : Train a recipe into a run folder.
    compare : Compare two sets of scores.

    Examples
    --------
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> first = mitotype.train("morphology", "cohort", out="first", settings=["folds=2"])
    >>> second = mitotype.train("morphology", "cohort", out="second", settings=["folds=2", "seed=1"])
    >>> both = mitotype.ensemble([first, second], "both")
    >>> both.weights
    {'first': 0.5, 'second': 0.5}
    >>> both.evaluate(n_boot=100).entries[0].patches == mitotype.compare(first, both, n_boot=100).sets[0].patches
    True
    """
    folder, run_dirs = Path(out), [Path(run) for run in runs]
    stored = "The runs are unchanged."
    with (
        outputs.claimed(folder, names.ENSEMBLE_FILES, marker=names.ENSEMBLE, inputs=run_dirs),
        continued_by("repeat the command", stored),
        Progress(quiet=quiet),
    ):
        return make(run_dirs, folder, combiner, (calibration, threshold, abstention), seed=seed)


def make(
    run_dirs: Sequence[Path], folder: Path, combiner: str, rules: tuple[str, str, str], *, seed: int = 0
) -> Ensemble:
    """Write an ensemble into a folder that this process holds, or check that the one there is the same; see `ensemble`."""
    made = run_ensemble.fit(run_dirs, folder, combiner, rules, seed=seed)
    if not names.is_finished(folder):
        _write(folder, made)
    elif not _is_same(folder, made):
        raise OccupiedError(f"'{folder}' already contains another ensemble.", fix=outputs.OTHER_FOLDER)
    log_notes(made.record.notes)
    LOGGER.info(str(Ensemble(folder)))
    return Ensemble(folder)


def _is_same(folder: Path, made: RunEnsemble) -> bool:
    """Return whether the stored ensemble was made of the same rows by the same rules."""
    stored, decision = read_ensemble(folder), records.read(folder / names.DECISION, DecisionRecord, what="decision")
    fields = ("rule", "sources", "rows", "folds", "seed")
    same = all(getattr(stored, name) == getattr(made.record, name) for name in fields)
    return same and decision.rules == made.decision.rules


def _write(folder: Path, made: RunEnsemble) -> None:
    records.write(folder / names.ENSEMBLE, made.record)
    table.write(folder, made.scores)
    files.write_table(folder / names.COMBINED, made.combined)
    records.write(folder / names.DECISION, made.decision)
    files.write_text(folder / names.DONE, now() + "\n")
