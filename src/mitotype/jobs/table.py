"""Table: one row for each cell and test set, its numbers those of the room `evaluation`.

`member_*`     mean and population SD over single members, one view, at 0.5, over all files: the study's own protocol
`published_*`  what the study prints for the same net, adaptation and test set
`ensemble_*`   all members together, calibration and threshold from out-of-fold rows, interval over cases; each picture once
`all_files_*`  the same, each file for itself, where some hold the same picture
`half_*`       the same ensemble at 0.5           `out_of_fold_*`  the training patches, each by the member that left it out
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import OUT_OF_FOLD, TEST
from mitotype.jobs.grid import FLOOR, LeftOut

if TYPE_CHECKING:
    from mitotype.evaluation.interval import Interval
    from mitotype.evaluation.record import Entry, Evaluation
    from mitotype.jobs.benchmark import CellRun, Plan

REGIMES = {
    "full": "end to end", "lora": "LoRA", "prompts": "prompts", "probe": "linear probe", "head": "linear probe",
    "knn": "neighbours", "prototype": "prototypes",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell on one test set. `parameters` is what one member trained; nan is what is not defined or not published."""

    test_set: str
    regime: str
    backbone: str
    adaptation: str
    weights: str
    licence: str
    commercial: bool
    parameters: int
    members: int
    files: int
    pictures: int
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
    """The rows in the order asked for, the floor first; what failed or is left out, and why; what is still to be trained.

    `notes` are what a reader of the numbers must know: licences that bind, out-of-fold numbers that flatter.
    """

    title: str
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    pending: tuple[str, ...]
    made: Mapping[str, Any]
    failed: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan, found: Mapping[Path, Sequence[Row]], mistakes: Mapping[Path, Mistake]) -> Table:
        from mitotype import __version__

        asked = plan.asked
        rows = tuple(row for one in plan.runs for row in found.get(one.folder, ()))
        pending = tuple(str(one.cell) for one in plan.runs if one.folder not in {*found, *mistakes})
        told = ((one.cell, mistakes[one.folder]) for one in plan.runs if one.folder in mistakes)
        failed = tuple(LeftOut(cell, mistake.what, mistake.fix or "") for cell, mistake in told)
        training = {"data": asked.cohort.name, "patches": len(asked.cohort), "held out": list(asked.hold_out)}
        more = {name: _without_places(value) for name, value in asked.more.items()}
        made = {**more, "training": training, "draws": asked.draws, "version": __version__}
        notes = (*plan.notes(), *_flattered(plan.runs))
        return cls(asked.title, rows, plan.left_out, pending, made, failed, notes)

    @property
    def sets(self) -> dict[str, list[Row]]:
        """The rows of each test set."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.test_set, []).append(row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: nan becomes null."""
        plain: dict[str, Any] = files.plain({
            "title": self.title, "rows": [dataclasses.asdict(row) for row in self.rows], "failed": _reasons(self.failed),
            "left_out": _reasons(self.left_out), "pending": self.pending, "notes": self.notes, "made": dict(self.made),
        })  # fmt: skip
        return plain

    def check(self) -> None:
        """Raise a Mistake that names the cells that failed, if any did."""
        if not self.failed:
            return
        lines = [f"- {one.cell}: {one.reason}" + (f"\n  {one.fix}" if one.fix else "") for one in self.failed]
        what = f"{len(self.failed)} of the cells failed; the others are in the table:\n" + "\n".join(lines)
        fix = "the same command tries them again; without their words in --backbones or --adapt they are dropped"
        fix += "; with other settings it is another benchmark: choose another --out"
        raise Mistake(what, fix=fix)


def _reasons(cells: Sequence[LeftOut]) -> list[dict[str, str]]:
    return [{**dataclasses.asdict(one.cell), "reason": one.reason} for one in cells]


def _flattered(runs: Sequence[CellRun]) -> list[str]:
    """A note on the nets whose out-of-fold numbers flatter."""
    from mitotype.backbones import adapters

    chosen = [one for one in runs if one.recipe.patience > 0 and not adapters.is_probe(one.recipe.adaptation)]
    if not chosen:
        return []
    cells = "; ".join(str(one.cell) for one in chosen)
    return [f"the out-of-fold numbers and thresholds of {cells} come from folds that chose the epoch, so they flatter"]


def _without_places(value: Any) -> Any:
    """Names for paths: a table tells nobody where its folders lie."""
    if isinstance(value, list | tuple):
        return [_without_places(item) for item in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    name, sign, where = value.rpartition("=")
    return f"{name}{sign}{Path(where).name}"


def rows(one: CellRun, sets: Sequence[str], held_out: Sequence[str], *, draws: int) -> list[Row]:
    """The rows of a finished run that has scored the test sets, in the order of `sets`."""
    from mitotype import evaluation
    from mitotype.evaluation.record import About
    from mitotype.scores import table
    from mitotype.scores.decision import Decision

    decision = Decision.from_dict(files.read_json(one.folder / "decision.json", what="decision"))
    about = About(title=str(one.cell), held_out=tuple(held_out))
    found = evaluation.evaluate(table.read(one.folder), decision, draws=draws, about=about)
    told = _of_cell(one) | _out_of_fold(found)
    entries = {entry.dataset: entry for entry in found.entries if entry.part == TEST}
    return [_row(told, entries[name], found) for name in sets if name in entries]


def _row(told: Mapping[str, Any], entry: Entry, found: Evaluation) -> Row:
    from mitotype.evaluation.published import study_mean
    from mitotype.evaluation.record import ALL_FILES, HALF

    single, half, whole = entry.like_for_like, entry.variant(HALF), entry.headline
    every = entry.variant(ALL_FILES)
    word = str(told["adaptation"]).partition("(")[0]
    word = "probe" if word == "head" else word  # the study solves its probes by gradients
    known = study_mean(word, told["backbone"], entry.dataset, entry.part, entry.files)
    metrics = single.metrics if single else {}
    numbers: dict[str, Any] = {}
    for metric, short in (("balanced_accuracy", "ba"), ("auroc", "auroc")):
        numbers |= _mean(f"member_{short}", metrics.get(metric))
        numbers |= _bounds(f"ensemble_{short}", whole.metrics.get(metric))
        numbers |= _bounds(f"all_files_{short}", every.metrics.get(metric) if every else None)
        numbers[f"published_{short}"] = getattr(known, metric) if known else math.nan
        numbers[f"published_{short}_sd"] = getattr(known, f"{metric}_sd") if known else math.nan
    numbers |= _bounds("half_ba", half.metrics.get("balanced_accuracy") if half else None)
    return Row(
        test_set=entry.dataset, members=whole.members, files=entry.files, pictures=entry.patches, atypical=entry.atypical,
        cases=entry.cases, threshold=found.decision.threshold.value, **told, **numbers,
    )  # fmt: skip


def _mean(name: str, interval: Interval | None) -> dict[str, float]:
    return {name: interval.value if interval else math.nan, f"{name}_sd": interval.sd if interval else math.nan}


def _bounds(name: str, interval: Interval | None) -> dict[str, float]:
    low, high = (interval.low, interval.high) if interval else (math.nan, math.nan)
    return {name: interval.value if interval else math.nan, f"{name}_low": low, f"{name}_high": high}


def _out_of_fold(found: Evaluation) -> dict[str, float]:
    """The cross-fitted numbers of the training patches; those of several datasets are pooled."""
    import pandas as pd

    from mitotype.evaluation.metrics import compute

    judged = pd.concat([entry.rows for entry in found.entries if entry.part == OUT_OF_FOLD])
    label, probability = judged["label"].to_numpy(float), judged["probability"].to_numpy(float)
    called = (judged["class"] == "atypical").to_numpy(int)
    metrics = {"out_of_fold_ba": "balanced_accuracy", "out_of_fold_auroc": "auroc"}
    return {name: float(compute(metric, label, called, probability)) for name, metric in metrics.items()}


def _of_cell(one: CellRun) -> dict[str, Any]:
    """What is true of a cell on every test set."""
    from mitotype.backbones import backbones
    from mitotype.features import features

    recipe = one.recipe
    told = {"backbone": recipe.backbone, "adaptation": recipe.adaptation, "parameters": trained_parameters(one.folder)}
    if recipe.backbone in features:
        regime = "floor" if recipe.backbone == FLOOR else "feature"
        return {**told, "regime": regime, "weights": "none", "licence": "Apache-2.0", "commercial": True}
    word = recipe.adaptation.partition("(")[0]
    facts = backbones.get(recipe.backbone).facts
    return {
        **told,
        "regime": REGIMES.get(word, word),
        "weights": Path(recipe.init_from).name if recipe.init_from else "random",
        "licence": facts.licence if recipe.init_from else "no weights of others",
        "commercial": facts.commercial or not recipe.init_from,  # an architecture binds nobody
    }


def trained_parameters(run: Path) -> int:
    """How many numbers one member of a run keeps: the elements of its safetensors, or the weights of a feature's head."""
    from safetensors import safe_open

    member = min(path.parent for path in (run / "members").glob("*/member.json"))
    if "feature" in files.read_json(member / "member.json", what="member"):
        from mitotype.features import members

        return int(members.read(member).head.weight_DT.size) + 1
    with safe_open(member / "model.safetensors", framework="np") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 (no dict)
