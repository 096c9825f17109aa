"""Table of a benchmark: one row for each cell and test set, with the numbers of `evaluation`.

`member_*`     mean and population SD over single members, one view, at 0.5, over all files: the protocol of the study
`published_*`  the study's numbers for the same net, adaptation and test set
`ensemble_*`   all members, calibration and threshold from out-of-fold rows, interval over cases; each image counts once
`all_files_*`  the same where every file counts, if several files contain the same image
`half_*`       the same ensemble at 0.5           `out_of_fold_*`  the training patches, each scored by the member without it
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open

from mitotype import __version__, evaluation
from mitotype.backbones import adapters, backbones
from mitotype.core import files, records, run_layout
from mitotype.core.errors import UserError
from mitotype.core.run_layout import names
from mitotype.core.schema import OUT_OF_FOLD, TEST
from mitotype.evaluation.interval import Interval
from mitotype.evaluation.metrics import compute
from mitotype.evaluation.published import study_result
from mitotype.evaluation.results import ALL_FILES, HALF, About, Entry, Evaluation
from mitotype.experiments.grid import BASELINE, Skipped
from mitotype.experiments.plan import CellRun, Plan
from mitotype.features import features
from mitotype.scores import table
from mitotype.scores.decision import Decision

REGIMES = {
    "full": "end to end", "lora": "LoRA", "prompts": "prompts", "probe": "linear probe", "head": "linear probe",
    "knn": "neighbours", "prototype": "prototypes",
}  # fmt: skip
METRICS = {"ba": "balanced_accuracy", "auroc": "auroc"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell on one test set. `parameters` are those of one member that were trained; nan is undefined or not published."""

    test_set: str
    regime: str
    backbone: str
    adaptation: str
    weights: str
    license: str
    commercial: bool
    parameters: int
    members: int
    files: int
    images: int
    atypical: int
    cases: int
    member_ba: float
    member_ba_sd: float
    member_auroc: float
    member_auroc_sd: float
    published_ba: float
    published_ba_sd: float
    published_auroc: float
    published_auroc_sd: float
    ensemble_ba: float
    ensemble_ba_low: float
    ensemble_ba_high: float
    ensemble_auroc: float
    ensemble_auroc_low: float
    ensemble_auroc_high: float
    all_files_ba: float
    all_files_ba_low: float
    all_files_ba_high: float
    all_files_auroc: float
    all_files_auroc_low: float
    all_files_auroc_high: float
    threshold: float
    half_ba: float
    half_ba_low: float
    half_ba_high: float
    out_of_fold_ba: float
    out_of_fold_auroc: float


@dataclass(frozen=True)
class Table:
    """The rows, the baseline first; the cells that failed, that are skipped and that are still to be trained.

    `notes` qualify the numbers: license terms, optimistic out-of-fold metrics. `made` describes how they were made.
    """

    title: str
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    pending: tuple[str, ...]
    made: Mapping[str, Any]
    failed: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan, rows: Mapping[Path, Sequence[Row]], failures: Mapping[Path, UserError]) -> Table:
        """Return the table of the rows and errors of runs, by the folder of the run."""
        config = plan.config
        training = {"data": config.cohort.name, "patches": len(config.cohort), "held out": list(config.hold_out)}
        options = {name: _without_folders(value) for name, value in config.options.items()}
        made = {**options, "training": training, "draws": config.n_boot, "version": __version__}
        in_order = tuple(row for run in plan.runs for row in rows.get(run.dir, ()))
        pending = tuple(str(run.cell) for run in plan.runs if run.dir not in {*rows, *failures})
        errors = [(run.cell, failures[run.dir]) for run in plan.runs if run.dir in failures]
        failed = tuple(Skipped(cell, error.what, error.fix or "") for cell, error in errors)
        notes = (*plan.notes(), *_optimism_notes(plan.runs))
        return cls(config.title, in_order, plan.skipped, pending, made, failed, notes)

    @property
    def by_test_set(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.test_set, []).append(row)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; nan becomes null."""
        value: dict[str, Any] = files.plain({
            "title": self.title, "rows": [dataclasses.asdict(row) for row in self.rows], "failed": _to_dicts(self.failed),
            "skipped": _to_dicts(self.skipped), "pending": self.pending, "notes": self.notes, "settings": dict(self.made),
        })  # fmt: skip
        return value

    def raise_failures(self) -> None:
        """Raise a UserError that lists the cells that failed, if any did."""
        if not self.failed:
            return
        lines = [f"- {fail.cell}: {fail.reason}" + (f"\n  {fail.fix}" if fail.fix else "") for fail in self.failed]
        raise UserError(
            f"{len(self.failed)} of the cells failed; the others are in the table:\n" + "\n".join(lines),
            fix="repeat the command to try them again, or remove them from --backbones or --adaptations to drop them;"
            " with other settings it is another benchmark: choose another --out",
        )


def _to_dicts(cells: Sequence[Skipped]) -> list[dict[str, str]]:
    return [{**dataclasses.asdict(skip.cell), "reason": skip.reason} for skip in cells]


def _optimism_notes(runs: Sequence[CellRun]) -> list[str]:
    """Return a note on the cells whose out-of-fold metrics are optimistic because of early stopping."""
    stopped = [run for run in runs if run.recipe.patience > 0 and not adapters.is_probe(run.recipe.adaptation)]
    if not stopped:
        return []
    cells = "; ".join(str(run.cell) for run in stopped)
    return [f"the out-of-fold numbers and thresholds of {cells} are optimistic: early stopping used the same folds"]


def _without_folders(value: Any) -> Any:
    """Return `value` with paths reduced to their names, so that the table does not contain the folders of its author."""
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    name, equals, path = value.rpartition("=")
    return f"{name}{equals}{Path(path).name}"


def rows(run: CellRun, test_sets: Sequence[str], held_out: Sequence[str], *, n_boot: int) -> list[Row]:
    """Return the rows of a finished run that has scored the test sets, in the order of `test_sets`."""
    decision = records.read(run.dir / names.DECISION, Decision, what="decision")
    about = About(title=str(run.cell), held_out=tuple(held_out))
    result = evaluation.evaluate(table.read(run.dir), decision, n_boot=n_boot, about=about)
    fields = _cell_fields(run) | _out_of_fold(result)
    entries = {entry.dataset: entry for entry in result.entries if entry.part == TEST}
    return [_row(fields, entries[name], result) for name in test_sets if name in entries]


def _row(fields: Mapping[str, Any], entry: Entry, result: Evaluation) -> Row:
    ensemble, half, all_files = entry.headline, entry.variant(HALF), entry.variant(ALL_FILES)
    single = entry.like_for_like.metrics if entry.like_for_like else {}
    trained = str(fields["adaptation"]).partition("(")[0]
    trained = "probe" if trained == "head" else trained  # the study fits its probes by gradient descent
    study = study_result(trained, fields["backbone"], entry.dataset, entry.part, entry.files)
    numbers: dict[str, Any] = {}
    for short, metric in METRICS.items():
        mean = single.get(metric)
        numbers[f"member_{short}"] = mean.value if mean else math.nan
        numbers[f"member_{short}_sd"] = mean.member_sd if mean else math.nan
        numbers[f"published_{short}"] = getattr(study, metric) if study else math.nan
        numbers[f"published_{short}_sd"] = getattr(study, f"{metric}_sd") if study else math.nan
        numbers |= _bounded(f"ensemble_{short}", ensemble.metrics.get(metric))
        numbers |= _bounded(f"all_files_{short}", all_files.metrics.get(metric) if all_files else None)
    numbers |= _bounded("half_ba", half.metrics.get("balanced_accuracy") if half else None)
    return Row(
        test_set=entry.dataset, members=ensemble.members, files=entry.files, images=entry.patches, atypical=entry.atypical,
        cases=entry.cases, threshold=result.decision.threshold.value, **fields, **numbers,
    )  # fmt: skip


def _bounded(name: str, interval: Interval | None) -> dict[str, float]:
    value, low, high = (interval.value, interval.low, interval.high) if interval else (math.nan,) * 3
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _out_of_fold(result: Evaluation) -> dict[str, float]:
    """Return the cross-fitted numbers of the training patches; those of several datasets are pooled."""
    patches = pd.concat([entry.rows for entry in result.entries if entry.part == OUT_OF_FOLD])
    label, probability = patches["label"].to_numpy(float), patches["probability"].to_numpy(float)
    predicted = (patches["class"] == "atypical").to_numpy(int)
    numbers = {short: compute(metric, label, predicted, probability) for short, metric in METRICS.items()}
    return {f"out_of_fold_{short}": float(value) for short, value in numbers.items()}


def _cell_fields(run: CellRun) -> dict[str, Any]:
    """Return the fields of a row that are the same on every test set."""
    recipe = run.recipe
    fields = {"backbone": recipe.backbone, "adaptation": recipe.adaptation, "parameters": trained_parameters(run.dir)}
    if recipe.backbone in features:
        regime = "floor" if recipe.backbone == BASELINE else "feature"
        return {**fields, "regime": regime, "weights": "none", "license": "Apache-2.0", "commercial": True}
    name = recipe.adaptation.partition("(")[0]
    spec = backbones.get(recipe.backbone).spec
    return {
        **fields,
        "regime": REGIMES.get(name, name),
        "weights": Path(recipe.init_from).name if recipe.init_from else "random",
        "license": spec.license if recipe.init_from else "no weights of others",
        "commercial": spec.commercial or not recipe.init_from,  # the terms are those of weights, not of architectures
    }


def trained_parameters(run_dir: Path) -> int:
    """Return the number of stored parameters of one member: of its safetensors, or of the head of a feature."""
    member_dir = names.member_dirs(run_dir)[0]
    if run_layout.read_member(member_dir).feature:
        return sum(map(len, run_layout.read_head(member_dir).weight_DT)) + 1
    with safe_open(member_dir / names.WEIGHTS, framework="np") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 (no dict)
