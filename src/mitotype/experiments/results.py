"""Table of a benchmark: one row for each cell and test set, with the numbers of `evaluation`.

`member_*`     mean and population SD over single members, one view, at 0.5, over all files: the protocol of the study
`published_*`  the study's numbers for the same net, adaptation and test set; `published_ba_folds` those of folds 1 … 5
`ensemble_*`   all members, calibration and threshold from out-of-fold rows, interval over cases; each image counts once
`all_files_*`  the same where every file counts, if several files contain the same image
`half_*`       the same ensemble at 0.5           `out_of_fold_*`  the training patches, each scored by the member without it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from msgspec import Struct
from safetensors import safe_open

from mitotype import __version__, evaluation
from mitotype.backbones import backbones
from mitotype.backbones.adaptations import adaptations
from mitotype.core import records, run_layout
from mitotype.core.errors import UserError
from mitotype.core.number_format import number
from mitotype.core.rates import or_none
from mitotype.core.run_layout import names
from mitotype.core.run_layout.evaluation import About, Interval, Variant
from mitotype.core.schema import OUT_OF_FOLD, TEST
from mitotype.datasets.published import study_result
from mitotype.evaluation.metrics import compute
from mitotype.evaluation.results import ALL_FILES, HALF, Entry, Evaluation
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
UNDEFINED = Interval(None)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell on one test set. `parameters` are those of one member that were trained; None is undefined or not published."""

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
    member_ba: float | None
    member_ba_sd: float | None
    member_auroc: float | None
    member_auroc_sd: float | None
    published_ba: float | None
    published_ba_sd: float | None
    published_ba_folds: str
    published_auroc: float | None
    published_auroc_sd: float | None
    ensemble_ba: float | None
    ensemble_ba_low: float | None
    ensemble_ba_high: float | None
    ensemble_auroc: float | None
    ensemble_auroc_low: float | None
    ensemble_auroc_high: float | None
    all_files_ba: float | None
    all_files_ba_low: float | None
    all_files_ba_high: float | None
    all_files_auroc: float | None
    all_files_auroc_low: float | None
    all_files_auroc_high: float | None
    threshold: float
    half_ba: float | None
    half_ba_low: float | None
    half_ba_high: float | None
    out_of_fold_ba: float | None
    out_of_fold_auroc: float | None


class TableRecord(Struct, frozen=True, kw_only=True):
    """table.json: the rows, the baseline first; the cells that failed, that are skipped and that are still to be trained.

    `notes` qualify the numbers: license terms, optimistic out-of-fold metrics. `settings` describe how they were made.
    """

    title: str
    rows: tuple[Row, ...]
    failed: tuple[Skipped, ...]
    skipped: tuple[Skipped, ...]
    pending: tuple[str, ...]
    notes: tuple[str, ...]
    settings: dict[str, Any]


class Table(TableRecord, frozen=True, kw_only=True):
    """The table of a benchmark. `errors` are those of the cells that failed, with what to do about them."""

    errors: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, rows: Mapping[Path, Sequence[Row]], failures: Mapping[Path, UserError]) -> Table:
        """Return the table of the rows and errors of runs, by the folder of the run."""
        config = plan.config
        training = {"data": config.cohort.name, "patches": len(config.cohort), "held out": list(config.hold_out)}
        options = {name: _without_folders(value) for name, value in config.options.items()}
        failed = [(run.cell, failures[run.dir]) for run in plan.runs if run.dir in failures]
        return cls(
            title=config.title,
            rows=tuple(row for run in plan.runs for row in rows.get(run.dir, ())),
            failed=tuple(Skipped(cell.backbone, cell.adaptation, error.what) for cell, error in failed),
            skipped=plan.skipped,
            pending=tuple(str(run.cell) for run in plan.runs if run.dir not in {*rows, *failures}),
            notes=(*plan.notes(), *_optimism_notes(plan.runs)),
            settings={**options, "training": training, "draws": config.n_boot, "version": __version__},
            errors=tuple("\n  ".join(filter(None, (f"- {cell}: {error.what}", error.fix))) for cell, error in failed),
        )

    @property
    def by_test_set(self) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.test_set, []).append(row)
        return rows

    def to_record(self) -> TableRecord:
        return records.convert(self, TableRecord)

    def raise_failures(self) -> None:
        """Raise a UserError that lists the cells that failed, if any did."""
        if not self.failed:
            return
        raise UserError(
            f"{len(self.failed)} of the cells failed; the others are in the table:\n" + "\n".join(self.errors),
            fix="repeat the command to try them again, or remove them from --backbones or --adaptations to drop them;"
            " with other settings it is another benchmark: choose another --out",
        )


def _optimism_notes(runs: Sequence[CellRun]) -> list[str]:
    """Return a note on the cells whose out-of-fold metrics are optimistic because of early stopping."""
    stopped = [
        run for run in runs if run.recipe.patience > 0 and not adaptations.build(run.recipe.adaptation).is_solved
    ]
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
    about = About(title=str(run.cell), held_out=list(held_out))
    result = evaluation.evaluate(table.read(run.dir), decision, n_boot=n_boot, about=about)
    fields = _cell_fields(run) | _out_of_fold(result) | {"threshold": decision.threshold.value}
    entries = {entry.dataset: entry for entry in result.entries if entry.part == TEST}
    return [_row(entries[name], fields) for name in test_sets if name in entries]


def _row(entry: Entry, fields: Mapping[str, Any]) -> Row:
    trained = _adaptation(fields["adaptation"])
    trained = "probe" if trained == "head" else trained  # the study fits its probes by gradient descent
    study = study_result(trained, fields["backbone"], entry.dataset, entry.files)
    folds = study.fold_balanced_accuracy if study else ()
    numbers: dict[str, Any] = {"published_ba_folds": " ".join(number(value, 4) for value in folds)}
    for short, metric in METRICS.items():
        member = _interval(entry.like_for_like, metric)
        numbers |= {f"member_{short}": member.value, f"member_{short}_sd": member.member_sd}
        for name, attribute in ((f"published_{short}", metric), (f"published_{short}_sd", f"{metric}_sd")):
            numbers[name] = getattr(study, attribute) if study else None
        numbers |= _bounded(f"ensemble_{short}", entry.headline, metric)
        numbers |= _bounded(f"all_files_{short}", entry.variant(ALL_FILES), metric)
    numbers |= _bounded("half_ba", entry.variant(HALF), METRICS["ba"])
    return Row(
        test_set=entry.dataset, members=entry.headline.members, files=entry.files, images=entry.patches,
        atypical=entry.atypical, cases=entry.cases, **fields, **numbers,
    )  # fmt: skip


def _interval(variant: Variant | None, metric: str) -> Interval:
    return variant.metrics.get(metric, UNDEFINED) if variant else UNDEFINED


def _bounded(name: str, variant: Variant | None, metric: str) -> dict[str, float | None]:
    interval = _interval(variant, metric)
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _out_of_fold(result: Evaluation) -> dict[str, float | None]:
    """Return the cross-fitted numbers of the training patches; those of several datasets are pooled."""
    patches = pd.concat([entry.rows for entry in result.entries if entry.part == OUT_OF_FOLD])
    label, probability = patches["label"].to_numpy(float), patches["probability"].to_numpy(float)
    predicted = (patches["class"] == "atypical").to_numpy(int)
    numbers = {short: compute(metric, label, predicted, probability) for short, metric in METRICS.items()}
    return {f"out_of_fold_{short}": or_none(float(value)) for short, value in numbers.items()}


def _cell_fields(run: CellRun) -> dict[str, Any]:
    """Return the fields of a row that are the same on every test set."""
    recipe = run.recipe
    fields = {"backbone": recipe.backbone, "adaptation": recipe.adaptation, "parameters": trained_parameters(run.dir)}
    if recipe.backbone in features:
        regime = "floor" if recipe.backbone == BASELINE else "feature"
        return {**fields, "regime": regime, "weights": "none", "license": "Apache-2.0", "commercial": True}
    spec, name = backbones.get(recipe.backbone).spec, _adaptation(recipe.adaptation)
    return {
        **fields,
        "regime": REGIMES.get(name, name),
        "weights": Path(recipe.init_from).name if recipe.init_from else "random",
        "license": spec.license if recipe.init_from else "no weights of others",
        "commercial": spec.commercial or not recipe.init_from,  # the terms are those of weights, not of architectures
    }


def _adaptation(spec: str) -> str:
    return spec.partition("(")[0]


def trained_parameters(run_dir: Path) -> int:
    """Return the number of stored parameters of one member: of its safetensors, or of the head of a feature."""
    member_dir = names.member_dirs(run_dir)[0]
    if run_layout.read_member(member_dir).feature:
        return sum(map(len, run_layout.read_head(member_dir).weight_DT)) + 1
    with safe_open(member_dir / names.WEIGHTS, framework="np") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 (no dict)
