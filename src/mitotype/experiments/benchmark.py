"""Benchmark: backbone × adaptation × fold in one folder that can be resumed, and one table over all test sets.

benchmark.json    the configuration, written first; backbones and adaptations may be added and removed later
runs/             one run for each cell        openings.jsonl    which test set was scored when, for which run
table.*           csv, json, Markdown and HTML, rewritten whenever a cell is finished
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import torch

from mitotype import __version__
from mitotype.core import files, outputs, records
from mitotype.core.errors import ErrorCollector, UserError, WriteError
from mitotype.core.folder_lock import exclusive
from mitotype.core.packing import pack_images
from mitotype.core.records import Count, Digest, Format2, Name, Record, Text
from mitotype.core.run_layout import names, now
from mitotype.core.schema import TEST, Cohort
from mitotype.datasets.overlaps import find_overlap
from mitotype.experiments import render, results
from mitotype.experiments.grid import build_grid
from mitotype.experiments.plan import BenchmarkConfig, CellRun, Plan
from mitotype.experiments.results import Row, Table
from mitotype.fit import environment, run
from mitotype.fit.context import required_px
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed
from mitotype.fit.validate import resolve_recipe
from mitotype.jobs import executor, on_ray
from mitotype.jobs.executor import LOCAL
from mitotype.jobs.task import Callbacks, GroupFinished
from mitotype.scores import table

ScoreTests = Callable[[Path, Sequence[Cohort]], None]
NAME = "benchmark.json"
CONTENTS = (NAME, "runs", names.LEDGER, "table.csv", "table.json", "table.md", "table.html")


class CohortDigest(Record, frozen=True):
    patches: Count
    digest: Digest


class BenchmarkRecord(Format2, frozen=True, kw_only=True):
    """benchmark.json. `backbones` and `adaptations` may change on resuming: each cell is compared with its own run."""

    backbones: list[Name]
    adaptations: list[Text]
    options: dict[Name, Text | list[Text]]
    train: CohortDigest
    tests: dict[Name, CohortDigest]
    hold_out: list[Name]
    sources: list[Text]
    device: Name
    version: Name
    started: Name

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        config = records.renamed(value.pop("asked"), {"data": "train"})
        fixed = {key: config.pop(key) for key in ("backbones", "adaptations", "train", "tests", "hold_out")}
        return records.renamed(value, {"where": "sources"}) | fixed | {"options": config}


def claimed(folder: Path, data: Sequence[str] = ()) -> AbstractContextManager[None]:
    """Return the context in which a process works in the folder of a benchmark and no other does."""
    return outputs.claimed(folder, CONTENTS, marker=NAME, inputs=data)


def prepare(config: BenchmarkConfig) -> Plan:
    """Write the configuration and the folder of every run; nothing is trained yet. Existing runs of the folder are reused.

    Raises a UserError for a folder with another benchmark, invalid recipes, a test set that shares images or cases with the
    training data, and whatever `fit.run.create` raises.
    """
    if distributed.world_size() > 1:
        raise UserError("A benchmark trains every member on one device.", fix="start it without accelerate or torchrun")
    executor.check_backend(config.backend)
    grid = build_grid(config.backbones, config.adaptations, config.recipe_of)
    digests = pack_images(config.cohort, min_px=max(required_px(recipe) for _, recipe in grid.cells)).digests
    tests = _describe_tests(config, digests)
    runs = tuple(CellRun(cell, recipe, (config.out / "runs" / cell.name).resolve()) for cell, recipe in grid.cells)
    digest = files.digest_of(*sorted(digests))
    with claimed(config.out, config.data):
        record = BenchmarkRecord(
            backbones=list(config.backbones),
            adaptations=list(config.adaptations),
            options=dict(config.options),
            train=CohortDigest(len(digests), digest),
            tests=tests,
            hold_out=list(config.hold_out),
            sources=list(config.data),
            device=config.device,
            version=__version__,
            started=now(),
        )
        record = _stored_record(record, config.out / NAME)
        new = [cell_run for cell_run in runs if not names.is_run(cell_run.dir)]
        for cell_run in runs:
            if cell_run not in new:
                _check_unchanged(cell_run, digest)
        device = _resolve_device(config) if new else config.device
        own_device = config.device if config.backend == LOCAL and config.device != "auto" else None
        for cell_run in runs:
            if cell_run not in new and not names.is_finished(cell_run.dir):
                run.reopen(cell_run.dir, own_device)
        records.write(config.out / NAME, record)
        for cell_run in new:
            run.create(
                cell_run.recipe, config.cohort, cell_run.dir,
                data=config.data, hold_out=config.hold_out, device=device, local=config.backend == LOCAL,
            )  # fmt: skip
    return Plan(config, runs, grid.skipped)


def resume(plan: Plan, score_tests: ScoreTests, callbacks: Callbacks = Callbacks()) -> Table:  # noqa: B008 (frozen)
    """Train the incomplete members, score what is not scored, and return the table.

    `score_tests` adds the rows of test cohorts to a run's folder and records the openings. It is called once per run whose
    members are complete, with the cohorts that lack rows. A cell with a UserError is listed as failed in the table and does
    not stop the others; `Table.raise_failures` raises what failed.
    """
    config, n_threads = plan.config, torch.get_num_threads()
    rows: dict[Path, list[Row]] = {}
    failures: dict[Path, UserError] = {}
    result = Table.of(plan, rows, failures)
    with exclusive(config.out):
        tasks = plan.tasks()
        incomplete = {task.group for task in tasks}
        complete = [GroupFinished(cell_run.dir) for cell_run in plan.runs if cell_run.dir not in incomplete]
        running = executor.run(tasks, config.backend, plan.workers(), callbacks)
        with closing(running):  # stops the workers on an error
            for finished in chain(complete, running):
                try:
                    rows[finished.group] = _rows(plan, finished, score_tests)
                except WriteError:  # of one cell as of the next: the disk is full
                    raise
                except UserError as error:
                    failures[finished.group] = error
                torch.set_num_threads(n_threads)  # opening a run sets its own number
                result = Table.of(plan, rows, failures)
                if len(rows) + len(failures) >= len(complete):
                    render.write(result, config.out)
    return result


def _rows(plan: Plan, finished: GroupFinished, score_tests: ScoreTests) -> list[Row]:
    """Finalize a run, score its missing test sets, and return its rows. Raises the error of its tasks, if any."""
    if finished.error:
        raise finished.error
    run.resume(finished.group)
    missing = unscored(finished.group, plan.config.tests)
    if missing:
        score_tests(finished.group, missing)
    cell_run = next(cell_run for cell_run in plan.runs if cell_run.dir == finished.group)
    return results.rows(cell_run, plan.config.test_sets, plan.config.hold_out, n_boot=plan.config.n_boot)


def unscored(run_dir: Path, tests: Sequence[Cohort]) -> list[Cohort]:
    """Return the test cohorts of which a run lacks rows of some member."""
    scores = table.read(run_dir).scores
    n_members = len(names.member_dirs(run_dir))
    n_scores = scores[scores["part"] == TEST].groupby("patch_id")["member"].nunique()
    return [cohort for cohort in tests if (n_scores.reindex(cohort.rows["patch_id"]).fillna(0) < n_members).any()]


def _describe_tests(config: BenchmarkConfig, train_digests: Sequence[str]) -> dict[str, CohortDigest]:
    """Return digest and size of every test cohort. Raises a UserError for one that overlaps with the training data."""
    if not config.tests:
        raise UserError("No test data are given.", fix="name some with --test")
    described: dict[str, CohortDigest] = {}
    errors = ErrorCollector()
    train = config.cohort.rows.assign(digest=list(train_digests))
    patch_ids = set(train["patch_id"])
    for cohort in config.tests:
        digests = pack_images(cohort).digests
        with errors.capture():
            _check_disjoint(train, cohort, digests, patch_ids)
        if cohort.rows["label"].isna().all():
            errors.add(UserError(f"No patch of '{cohort.name}' has a label.", fix="choose labelled test data"))
        patch_ids |= set(cohort.rows["patch_id"])
        described[cohort.name] = CohortDigest(len(cohort), files.digest_of(*sorted(digests)))
    errors.raise_if_any()
    return described


def _check_disjoint(train: pd.DataFrame, cohort: Cohort, digests: Sequence[str], patch_ids: set[str]) -> None:
    """Check that a test cohort shares no image, case or patch id with the training data, and no patch id with other tests."""
    overlap = find_overlap(train, cohort, digests=digests)
    if overlap:
        error = overlap.error()
        fix = f"--hold-out {cohort.name}, or choose other test data with --test"
        raise UserError(error.what, code=error.code, fix=fix)
    repeated = [patch_id for patch_id in cohort.rows["patch_id"] if patch_id in patch_ids]
    if repeated:
        what = f"{len(repeated)} patch ids of '{cohort.name}' occur in another set too; the first: '{repeated[0]}'."
        raise UserError(what, fix="name each set once, and put csvs of your own into folders of different names")


def _stored_record(record: BenchmarkRecord, path: Path) -> BenchmarkRecord:
    """Return the record to store: a new one, or the existing one with another grid.

    Raises a UserError if the folder contains a benchmark that differs in more than its grid.
    """
    if not path.is_file():
        return record
    stored = records.read(path, BenchmarkRecord, what="benchmark")
    old, new = (
        value.options | {key: getattr(value, key) for key in ("train", "tests", "hold_out")}
        for value in (stored, record)
    )
    keys = [key for key in old | new if old.get(key) != new.get(key)]
    if keys:
        changes = "; ".join(f"{key} was {_shorten(old.get(key))} and is now {_shorten(new.get(key))}" for key in keys)
        fix = "choose another folder with --out"
        raise UserError(f"'{path.parent}' contains another benchmark: {changes}.", fix=fix)
    return msgspec.structs.replace(stored, backbones=record.backbones, adaptations=record.adaptations)


def _check_unchanged(cell_run: CellRun, digest: str) -> None:
    """Check that an existing run has the recipe and data of the cell; fields that it lacks have their defaults."""
    record, run_dir = cell_run.record, cell_run.dir
    stored, recipe = Recipe.from_dict(record.recipe).to_dict(), resolve_recipe(cell_run.recipe).to_dict()
    keys = [key for key in recipe if stored[key] != recipe[key]]
    fix = f"move '{run_dir}' away, or choose another folder with --out"
    if keys:
        changes = "; ".join(f"{key} is {_shorten(stored[key])}, not {_shorten(recipe[key])}" for key in keys)
        raise UserError(f"The run '{run_dir}' has another recipe: {changes}.", fix=fix)
    if record.data.digest != digest:
        raise UserError(f"The run '{run_dir}' was started on other images.", fix=fix)


def _resolve_device(config: BenchmarkConfig) -> str:
    """Return the device of new runs. Raises a UserError for a GPU that is requested and absent."""
    if config.backend == LOCAL:
        return environment.resolve_device(config.device)
    on_ray.check_device(config.device)
    if config.device == "cpu" or on_ray.starts_cluster(config.backend):
        return environment.resolve_device(config.device)
    return on_ray.cluster_device(config.backend, config.device)  # its nodes may differ from this machine


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"
