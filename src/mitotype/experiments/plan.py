"""Plan of a benchmark: its configuration, the run of every cell, and the members that are still to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mitotype.core.run_layout import LogLine, RunRecord, names, read_patches, read_run
from mitotype.core.schema import Cohort
from mitotype.experiments.grid import Cell, RecipeOf, Skipped
from mitotype.features import features
from mitotype.fit import member
from mitotype.fit.members import MemberPlan, is_complete, plan_members
from mitotype.fit.recipe import Recipe
from mitotype.jobs.executor import LOCAL
from mitotype.jobs.task import Resources, Task


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """The settings of a benchmark in the folder `out` that pass unchanged from a user to its plan.

    `backend` is "local", "ray" or the address of a cluster; 0 `workers` leaves their number to the machine.
    """

    out: Path
    data: Sequence[str] = ()
    hold_out: Sequence[str] = ()
    backbones: Sequence[str] = ()
    adaptations: Sequence[str] = ()
    title: str = ""
    device: str = "auto"
    backend: str = LOCAL
    workers: int = 0
    n_boot: int = 2000


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(BenchmarkSettings):
    """A benchmark: `recipe_of` gives the recipe of a backbone and an adaptation, `cohort` is trained on.

    `options` are other settings of the caller as plain values; they are stored, and compared when the folder is resumed.
    """

    recipe_of: RecipeOf
    cohort: Cohort
    tests: Sequence[Cohort]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def test_sets(self) -> list[str]:
        """The names of the test sets, as the rows of scores carry them."""
        columns = (cohort.rows.get("dataset", [cohort.name]) for cohort in self.tests)
        return list(dict.fromkeys(name for column in columns for name in column))


@dataclass(frozen=True)
class CellRun:
    """A cell, its recipe and the folder of its run."""

    cell: Cell
    recipe: Recipe
    dir: Path

    @cached_property
    def record(self) -> RunRecord:
        return read_run(self.dir)

    def members(self) -> list[MemberPlan]:
        patches = read_patches(self.dir)
        is_train = patches["fold"] > 0  # test patches that were scored have no fold
        return plan_members(self.recipe, sorted(set(patches["fold"][is_train])))

    @property
    def resources(self) -> Resources:
        """What one member needs. The head of a feature is fitted on processors."""
        device = "cpu" if self.recipe.backbone in features else self.record.device
        return Resources(device, self.record.threads)


@dataclass(frozen=True)
class Plan:
    """The runs of a benchmark in the order of the table, and the cells that are not trained."""

    config: BenchmarkConfig
    runs: tuple[CellRun, ...]
    skipped: tuple[Skipped, ...]

    def notes(self) -> list[str]:
        """Return the notes of all runs on their data and weights, without repetitions."""
        return list(dict.fromkeys(note for run in self.runs for note in run.record.notes))

    def tasks(self) -> list[Task]:
        """Return a task for every member that is not complete, numbered over the whole benchmark."""
        members = [(run, plan) for run in self.runs for plan in run.members()]
        tasks = []
        for number, (run, plan) in enumerate(members, 1):
            if not names.is_finished(run.dir) and not is_complete(run.dir, plan):
                progress = LogLine(cell=str(run.cell), job=number, jobs=len(members))
                tasks.append(Task(run.dir, plan.name, member.fit_member, (run.dir, plan, progress), run.resources))
        return tasks

    def workers(self) -> int:
        """Return how many members are trained at once; on Ray 0 means as many as the cluster has processors for."""
        if self.config.workers or self.config.backend != LOCAL:
            return self.config.workers
        return max(run.record.workers for run in self.runs)
