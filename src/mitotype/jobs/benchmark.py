"""Benchmark: backbone × adaptation × fold in one folder that resumes, and one table of every test set.

benchmark.json    everything that was asked, written first: another question to the same folder is refused
runs/             one run for each cell        openings.jsonl    which test set was opened, when, for which run
table.*           csv, json, Markdown and HTML, written anew whenever a cell is finished
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files, pictures
from mitotype.core.mistakes import Collector, Mistake
from mitotype.core.words import TEST, Cohort
from mitotype.fit.recipe import Recipe, from_plain
from mitotype.jobs import grid, where
from mitotype.jobs.grid import Cell, LeftOut, RecipeOf
from mitotype.jobs.where import HERE, Listener, Task

if TYPE_CHECKING:
    import pandas as pd

    from mitotype.fit.run import Job
    from mitotype.jobs.table import Table

Score = Callable[[Path, Sequence[Cohort]], None]
NAME = "benchmark.json"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A benchmark: `recipe_of` gives the recipe of a backbone and an adaptation, `cohort` is trained on, `tests` are measured on.

    `more` is what else was asked (settings, weights …), plain values that are kept and compared when the folder is resumed.
    `place` is "here", "ray" or the address of a cluster; `workers` of 0 leaves their number to the machine.
    """

    out: Path
    backbones: Sequence[str]
    adaptations: Sequence[str]
    recipe_of: RecipeOf
    cohort: Cohort
    tests: Sequence[Cohort]
    data: Sequence[str] = ()
    hold_out: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    device: str = "auto"
    place: str = HERE
    workers: int = 0
    draws: int = 2000


@dataclass(frozen=True)
class CellRun:
    """A cell, its recipe and the folder of its run."""

    cell: Cell
    recipe: Recipe
    folder: Path


@dataclass(frozen=True)
class Plan:
    """What is to be done: the runs in the order of the table, and the cells that are left out."""

    asked: Asked
    runs: tuple[CellRun, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def sets(self) -> tuple[str, ...]:
        """The names of the test sets, as the rows carry them."""
        return tuple(dict.fromkeys(name for cohort in self.asked.tests for name in names(cohort)))

    def tasks(self) -> list[Task]:
        """The members that are not whole yet, numbered over the whole benchmark."""
        from mitotype.fit import crew

        every = [(one, job) for one in self.runs for job in jobs_of(one)]
        return [
            Task(one.folder, job, {"cell": str(one.cell), "job": number, "jobs": len(every)})
            for number, (one, job) in enumerate(every, 1)
            if not (one.folder / "DONE").is_file() and not crew.whole(one.folder, job)
        ]


def names(cohort: Cohort) -> list[str]:
    return list(dict.fromkeys(cohort.rows["dataset"])) if "dataset" in cohort.rows else [cohort.name]


def jobs_of(one: CellRun) -> list[Job]:
    """The jobs of a prepared run."""
    from mitotype.fit import run

    patches = files.read_table(one.folder / "patches.parquet", what="run's table of patches")
    trained = patches[patches["fold"] > 0]  # a test set that was scored stands there too, in no fold
    return run.jobs(one.recipe, sorted(set(trained["fold"])))


def prepare(asked: Asked) -> Plan:
    """Write down what is asked and every run that it needs; nothing is trained yet. A prepared benchmark is taken up again.

    Raises a Mistake for a folder that holds another question, recipes that do not fit together, a test set that shares
    pictures or cases with what is trained on, and whatever `fit.run.prepare` finds.
    """
    from mitotype.fit import ranks, run

    if ranks.count() > 1:
        raise Mistake("The jobs of a benchmark have one device each.", fix="start it without accelerate or torchrun")
    where.check(asked.place)
    planned = grid.plan(asked.backbones, asked.adaptations, asked.recipe_of)
    needs_px = max(run.needs_px(recipe) for _, recipe in planned.cells)
    digests = pictures.pack(asked.cohort, min_px=needs_px).digests
    tests = _tests(asked, digests)
    runs = tuple(CellRun(cell, recipe, (asked.out / "runs" / cell.name).resolve()) for cell, recipe in planned.cells)
    with files.locked(asked.out / ".lock"):
        _write_down(asked, {"digest": files.digest_of(*sorted(digests)), "patches": len(digests)}, tests)
        for one in runs:
            if (one.folder / "run.json").is_file():
                _check_same(one, files.digest_of(*sorted(digests)))
            else:
                run.prepare(
                    one.recipe, asked.cohort, one.folder,
                    data=asked.data, hold_out=asked.hold_out, device=asked.device,
                )  # fmt: skip
    return Plan(asked, runs, planned.left_out)


def go_on(plan: Plan, score: Score, listener: Listener = Listener()) -> Table:  # noqa: B008 (frozen)
    """Train what is not whole, score what is not scored, and return the table. `score` adds the rows of test cohorts to a
    run's folder and writes the openings; it is called once a run's members are whole, and never for rows that are there."""
    import torch

    from mitotype.fit import run
    from mitotype.jobs import page, table

    asked, threads = plan.asked, torch.get_num_threads()
    with files.locked(asked.out / ".lock"):
        tasks = plan.tasks()
        waiting = {task.folder for task in tasks}
        whole = [one.folder for one in plan.runs if one.folder not in waiting]
        rows: dict[Path, list[table.Row]] = {}
        with closing(where.run(tasks, asked.place, asked.workers, listener)) as ended:  # no worker outlives a stop
            for folder in chain(whole, ended):
                run.go_on(folder)
                torch.set_num_threads(threads)  # a run takes up its own
                lacking = unscored(folder, asked.tests)
                if lacking:
                    score(folder, lacking)
                one = next(one for one in plan.runs if one.folder == folder)
                rows[folder] = table.rows(one, plan.sets, asked.hold_out, draws=asked.draws)
                found = table.Table.of(plan, rows)
                if len(rows) >= len(whole):
                    page.write(found, asked.out)
    return found


def unscored(folder: Path, tests: Sequence[Cohort]) -> list[Cohort]:
    """The test cohorts of which a run lacks rows of any member."""
    from mitotype.scores import table

    scores = table.read(folder).scores
    members = sum(1 for _ in (folder / "members").glob("*/member.json"))
    said = scores[scores["part"] == TEST].groupby("patch_id")["member"].nunique()
    return [cohort for cohort in tests if (said.reindex(cohort.rows["patch_id"]).fillna(0) < members).any()]


def _tests(asked: Asked, digests: Sequence[str]) -> dict[str, Any]:
    """Digest and size of every test cohort, none of which may share anything with what is trained on."""
    if not asked.tests:
        raise Mistake("No test data are named.", fix="name some with --test")
    found: dict[str, Any] = {}
    trouble = Collector()
    trained = asked.cohort.rows.assign(digest=list(digests))
    taken = set(trained["patch_id"])
    for cohort in asked.tests:
        own = pictures.pack(cohort).digests
        with trouble.note():
            _check_apart(trained, cohort, own, taken)
        if cohort.rows["label"].isna().all():
            trouble.add(Mistake(f"No patch of '{cohort.name}' has a label.", fix="measure on labelled patches"))
        taken |= set(cohort.rows["patch_id"])
        found[cohort.name] = {"patches": len(cohort), "digest": files.digest_of(*sorted(own))}
    trouble.settle()
    return found


def _check_apart(trained: pd.DataFrame, cohort: Cohort, digests: Sequence[str], taken: set[str]) -> None:
    """A test cohort shares no picture, case or name of a patch with what is trained on, nor a name with another test set."""
    from mitotype.datasets import overlaps

    shared = overlaps.overlap(trained, cohort, digests=digests)
    if shared:
        told = shared.mistake()
        raise Mistake(told.what, code=told.code, fix=f"--hold-out {cohort.name}, or measure on other data with --test")
    again = [patch for patch in cohort.rows["patch_id"] if patch in taken]
    if again:
        what = f"{len(again)} patches of '{cohort.name}' are called like those of another set; the first: '{again[0]}'."
        raise Mistake(what, fix="name each set once, and put csvs of your own into folders of different names")


def _write_down(asked: Asked, data: Mapping[str, Any], tests: Mapping[str, Any]) -> None:
    """benchmark.json, or a Mistake where it tells of another question."""
    question = files.plain({
        "backbones": list(asked.backbones), "adaptations": list(asked.adaptations), **asked.more,
        "data": data, "tests": tests, "hold_out": list(asked.hold_out),
    })  # fmt: skip
    path = asked.out / NAME
    if not path.is_file():
        from mitotype import __version__

        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        about = {"where": list(asked.data), "device": asked.device, "version": __version__, "started": now}
        files.write_json(path, {"asked": question, **about})
        return
    told = files.read_json(path, what="benchmark")["asked"]
    differ = [key for key in {**told, **question} if told.get(key) != question.get(key)]
    if differ:
        what = "; ".join(f"{key} was {_short(told.get(key))} and is now {_short(question.get(key))}" for key in differ)
        raise Mistake(f"'{asked.out}' holds another benchmark: {what}.", fix="choose another folder with --out")


def _check_same(one: CellRun, digest: str) -> None:
    """A run that is there must be the one that is asked for; a field that it was written without has its default."""
    told = files.read_json(one.folder / "run.json", what="run")
    there, wanted = from_plain(told["recipe"]).plain(), one.recipe.plain()
    differ = [key for key in wanted if there[key] != wanted[key]]
    mend = f"move '{one.folder}' away, or choose another folder with --out"
    if differ:
        what = "; ".join(f"{key} is {_short(there[key])}, not {_short(wanted[key])}" for key in differ)
        raise Mistake(f"The run '{one.folder}' is of another recipe: {what}.", fix=mend)
    if told["data"]["digest"] != digest:
        raise Mistake(f"The run '{one.folder}' was started on other pictures.", fix=mend)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"
