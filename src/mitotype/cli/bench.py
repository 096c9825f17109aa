"""What `mitotype benchmark` does: reads the data, gives each cell its recipe, and wires scoring and progress to the jobs."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.cli import show, work
from mitotype.core.mistakes import Collector, Mistake, unknown
from mitotype.core.words import TEST, Cohort
from mitotype.fit.recipe import Recipe

if TYPE_CHECKING:
    from mitotype.jobs import benchmark as benchmarks

ADAPTATIONS = {"shared": ("probe", "lora(8, 16)", "prompts(8)", "full"), "study": ("probe", "lora(8, 16, 0.3)", "full")}
RANDOM = "random"  # in --init-from BACKBONE=random: the published weights are left alone
OF_THE_GRID = ("backbone", "adaptation", "init_from")  # fields that --set may not change here


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command's words as they were typed."""

    out: Path
    data: Sequence[str]
    test: Sequence[str]
    hold_out: Sequence[str]
    backbones: Sequence[str]
    adapt: Sequence[str]
    settings: Sequence[str]
    init_from: Sequence[str]
    like: str
    on: str
    title: str
    mpp: float | None
    device: str
    workers: int
    draws: int


@dataclass(frozen=True)
class Recipes:
    """The recipe of each cell: the shared one or the study's, with the settings and the base weights that were asked for."""

    like: str
    settings: tuple[str, ...]
    named: Mapping[str, str]

    def __call__(self, backbone: str, adaptation: str) -> Recipe:
        from mitotype.features import features
        from mitotype.fit.recipe import with_settings
        from mitotype.recipes import benchmark, study

        where = self.named.get(backbone)
        where = "" if where == RANDOM else where
        if self.like == "shared" or backbone in features:
            recipe = benchmark.shared(backbone, adaptation, "published" if where is None else where)
        else:
            recipe = study.study(backbone, adaptation)  # the ensemble's decision is what the study left out
            recipe = dataclasses.replace(recipe, calibration="platt", threshold="balanced_accuracy")
            if where is not None:
                recipe = dataclasses.replace(recipe, init_from=where)
        return with_settings(recipe, self.settings)


def benchmark(asked: Asked, *, as_json: bool) -> None:
    """Prepare, train, score, and write the table; the same command again goes on with what is not done.

    Raises a Mistake that names the cells that failed, after the table of the others is written and shown.
    """
    from mitotype.jobs import benchmark as benchmarks
    from mitotype.jobs import page, where

    show.notice()
    question = _question(asked)
    plan = benchmarks.prepare(question)
    for note in plan.notes():
        if note not in question.cohort.notes:  # those were printed when it was read
            print(f"note: {note}", file=sys.stderr)
    for left in plan.left_out:
        print(f"left out: {left.cell}: {left.reason}", file=sys.stderr)
    tasks = plan.tasks()
    print(f"{len(plan.runs)} cells, {len(tasks)} members to train, into {asked.out}", file=sys.stderr)
    try:
        with show.progress("members", len(tasks)) as done:
            listener = where.Listener(show.epochs(moving=False), done)
            table = benchmarks.go_on(plan, _score(asked), listener)
    except KeyboardInterrupt:
        print("Stopped. What is whole is kept; the same command goes on.", file=sys.stderr)
        sys.exit(130)
    if as_json:
        show.as_json(table.to_dict())
    else:
        print(page.plain(table))
    print(f"open {asked.out / 'table.html'}", file=sys.stderr)
    table.check()


def _question(asked: Asked) -> benchmarks.Asked:
    from mitotype import datasets
    from mitotype.evaluation import published
    from mitotype.jobs.benchmark import Asked as Question

    if asked.like not in ADAPTATIONS:
        raise Mistake(f"There is no way '{asked.like}' to give recipes.", allowed=", ".join(ADAPTATIONS))
    held = [word for words in asked.hold_out for word in words.split(",") if word]
    settings = _settings(asked.settings)
    named = _sources(asked.init_from)
    cohort = work.training(asked.data, held, asked.mpp)
    tests = [test for at in asked.test or asked.data for test in datasets.read(at, part=TEST, mpp_um=asked.mpp)]
    for one in (cohort, *tests):
        work.notes(one)
    return Question(
        out=asked.out,
        backbones=list(asked.backbones) or published.study_nets(),
        adaptations=list(asked.adapt) or ADAPTATIONS[asked.like],
        recipe_of=Recipes(asked.like, settings, named),
        cohort=cohort,
        tests=tests,
        data=asked.data,
        hold_out=held,
        more={
            "recipes": asked.like,
            "settings": list(settings),
            "base_weights": [f"{name}={at}" for name, at in sorted(named.items())],
        },
        title=asked.title,
        device=asked.device,
        place=asked.on,
        workers=asked.workers,
        draws=asked.draws,
    )


def _settings(settings: Sequence[str]) -> tuple[str, ...]:
    """The settings, with the place of a teacher whole. Those that are mistaken for every cell are told once."""
    from mitotype.fit.recipe import with_settings

    fields = {setting.partition("=")[0].strip() for setting in settings}
    for field in OF_THE_GRID:
        if field in fields:
            option = {"backbone": "--backbones", "adaptation": "--adapt", "init_from": "--init-from"}[field]
            raise Mistake(f"In a benchmark {field} is not set for all cells.", fix=f"name it with {option}")
    with_settings(Recipe(name="any", backbone="any", size_px=64), settings)
    pairs = [(setting, *setting.partition("=")) for setting in settings]
    return tuple(f"teacher={_whole(at)}" if name == "teacher" and at else text for text, name, _, at in pairs)


def _whole(place: str) -> str:
    """A path that means the same from every folder. Links stay: what they lead to may be called otherwise."""
    return os.path.normpath(Path(place).expanduser().absolute())


def _sources(words: Sequence[str]) -> dict[str, str]:
    """Backbone → where its base weights lie, from every folder the same, or "random".

    A run names its backbone itself, a file or folder needs BACKBONE=PATH.
    """
    from mitotype.backbones import backbones
    from mitotype.fit.recipe import from_run

    found: dict[str, str] = {}
    trouble = Collector()
    for word in words:
        if word == "published":
            continue
        name, sign, where = word.partition("=")
        with trouble.note():
            if sign and not Path(word).exists():
                if name not in backbones:
                    raise unknown("backbone", name, backbones, "mitotype backbones")
            elif (Path(word).expanduser() / "run.json").is_file():
                name, where = from_run(Path(word).expanduser()).backbone, word
            else:
                raise Mistake(
                    f"'{word}' does not say for which backbone it is.",
                    allowed=f"BACKBONE={word}, BACKBONE=random, published",
                )
            if where != RANDOM and not Path(where).expanduser().exists():
                raise Mistake(f"There are no weights at '{where}'.", fix="mend the path")
            if name in found:
                raise Mistake(f"Base weights of {name} are named twice.", fix="name them once")
            found[name] = where if where == RANDOM else _whole(where)
    trouble.settle()
    return found


def _score(asked: Asked) -> benchmarks.Score:
    """The function that opens a run once and scores what it lacks, on this machine."""

    def score(folder: Path, cohorts: Sequence[Cohort]) -> None:
        from mitotype.deploy import scorer
        from mitotype.jobs.where import HERE

        device = asked.device if asked.on == HERE or asked.device == "cpu" else "auto"  # else it is the cluster's
        opened = scorer.open_scorer(str(folder), device=show.device(device))
        for cohort in cohorts:
            work.scored(opened, cohort, (folder, asked.out))
            print(f"{folder.name}: {len(cohort)} patches of {cohort.name} scored", file=sys.stderr)

    return score
