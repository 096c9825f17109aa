"""Benchmark: backbone × adaptation × fold in one folder that resumes, and one table of every test set.

benchmark.json    everything that was asked, written first: the same question may grow and shrink by backbones and adaptations
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
from mitotype.jobs.where import HERE, Ended, Listener, Task

if TYPE_CHECKING:
    import pandas as pd

    from mitotype.fit.run import Job
    from mitotype.jobs.table import Row, Table

Score = Callable[[Path, Sequence[Cohort]], None]
NAME = "benchmark.json"
CELLS = ("backbones", "adaptations")  # of the question; each cell is guarded by its own run


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

    def notes(self) -> list[str]:
        """What the runs say of their data and weights, each sentence once."""
        told = (files.read_json(one.folder / "run.json", what="run") for one in self.runs)
        return list(dict.fromkeys(note for run in told for note in run["notes"]))

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
    """Write down what is asked and every run that it needs; nothing is trained yet. A prepared benchmark is taken up again,
    with other backbones and adaptations too: runs that are there are kept.

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
    digest = files.digest_of(*sorted(digests))
    with files.locked(asked.out / ".lock"):
        question = _question(asked, {"digest": digest, "patches": len(digests)}, tests)
        there = [one for one in runs if (one.folder / "run.json").is_file()]
        fresh = [one for one in runs if one not in there]
        for one in there:
            _check_same(one, digest, asked.device)
        device = where.device(asked.place, asked.device) if fresh else asked.device
        _write_down(asked, question)
        for one in fresh:
            run.prepare(
                one.recipe, asked.cohort, one.folder,
                data=asked.data, hold_out=asked.hold_out, device=device, here=asked.place == HERE,
            )  # fmt: skip
    return Plan(asked, runs, planned.left_out)


def go_on(plan: Plan, score: Score, listener: Listener = Listener()) -> Table:  # noqa: B008 (frozen)
    """Train what is not whole, score what is not scored, and return the table. `score` adds the rows of test cohorts to a
    run's folder and writes the openings; it is called once a run's members are whole, and never for rows that are there.

    A Mistake in a cell makes it a failed one of the table and lets the others go on; `Table.check` raises what failed.
    """
    import torch

    from mitotype.jobs import page, table

    asked, threads = plan.asked, torch.get_num_threads()
    with files.locked(asked.out / ".lock"):
        tasks = plan.tasks()
        waiting = {task.folder for task in tasks}
        whole = [one.folder for one in plan.runs if one.folder not in waiting]
        rows: dict[Path, list[table.Row]] = {}
        failed: dict[Path, Mistake] = {}
        with closing(where.run(tasks, asked.place, asked.workers, listener)) as running:  # no worker outlives a stop
            for ended in chain(map(Ended, whole), running):
                try:
                    rows[ended.folder] = _rows(plan, ended, score)
                except Mistake as mistake:
                    failed[ended.folder] = mistake
                torch.set_num_threads(threads)  # a run takes up its own
                found = table.Table.of(plan, rows, failed)
                if len(rows) + len(failed) >= len(whole):
                    page.write(found, asked.out)
    return found


def _rows(plan: Plan, ended: Ended, score: Score) -> list[Row]:
    """The rows of a run whose tasks have ended, after what it lacks is scored; or its Mistake."""
    from mitotype.fit import run
    from mitotype.jobs import table

    if ended.mistake:
        raise ended.mistake
    run.go_on(ended.folder)
    lacking = unscored(ended.folder, plan.asked.tests)
    if lacking:
        score(ended.folder, lacking)
    one = next(one for one in plan.runs if one.folder == ended.folder)
    return table.rows(one, plan.sets, plan.asked.hold_out, draws=plan.asked.draws)


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


def _question(asked: Asked, data: Mapping[str, Any], tests: Mapping[str, Any]) -> dict[str, Any]:
    """What benchmark.json keeps of what is asked. Raises a Mistake where it tells of another question; other backbones and
    adaptations are the same one."""
    question: dict[str, Any] = files.plain({
        "backbones": list(asked.backbones), "adaptations": list(asked.adaptations), **asked.more,
        "data": data, "tests": tests, "hold_out": list(asked.hold_out),
    })  # fmt: skip
    path = asked.out / NAME
    told = files.read_json(path, what="benchmark")["asked"] if path.is_file() else question
    differ = [key for key in {**told, **question} if key not in CELLS and told.get(key) != question.get(key)]
    if differ:
        what = "; ".join(f"{key} was {_short(told.get(key))} and is now {_short(question.get(key))}" for key in differ)
        raise Mistake(f"'{asked.out}' holds another benchmark: {what}.", fix="choose another folder with --out")
    return question


def _write_down(asked: Asked, question: Mapping[str, Any]) -> None:
    """benchmark.json, which keeps when it was started."""
    from mitotype import __version__

    path = asked.out / NAME
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"where": list(asked.data), "device": asked.device, "version": __version__, "started": now}
    there = files.read_json(path, what="benchmark") if path.is_file() else about
    if there.get("asked") != question:
        files.write_json(path, {**there, "asked": question})


def _check_same(one: CellRun, digest: str, device: str) -> None:
    """A run that is there must be the one that is asked for; a field that it was written without has its default."""
    told = files.read_json(one.folder / "run.json", what="run")
    there, wanted = from_plain(told["recipe"]).plain(), one.recipe.resolved().plain()
    differ = [key for key in wanted if there[key] != wanted[key]]
    mend = f"move '{one.folder}' away, or choose another folder with --out"
    if differ:
        what = "; ".join(f"{key} is {_short(there[key])}, not {_short(wanted[key])}" for key in differ)
        raise Mistake(f"The run '{one.folder}' is of another recipe: {what}.", fix=mend)
    if told["data"]["digest"] != digest:
        raise Mistake(f"The run '{one.folder}' was started on other pictures.", fix=mend)
    if device not in ("auto", told["device"]):
        what = f"The run '{one.folder}' was started on '{told['device']}', not on '{device}'."
        raise Mistake(what, fix=f"go on with --device {told['device']}, or choose another folder with --out")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"
