"""Benchmark: backbones × adaptations × folds on one training cohort, scored on test sets, as one table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mitotype.api.data import read_cohorts
from mitotype.api.deployment import open_bundle
from mitotype.api.progress import LOGGER, Progress, log_notes
from mitotype.api.score_cohorts import score_cohort
from mitotype.api.training import read_training_cohort
from mitotype.backbones import backbones
from mitotype.core import walk
from mitotype.core.cpu_limit import use_threads
from mitotype.core.errors import ErrorCollector, UserError, unknown_name
from mitotype.core.interrupts import continued_by
from mitotype.core.run_layout import names
from mitotype.core.schema import TEST, Cohort
from mitotype.datasets import published
from mitotype.experiments import benchmark as benchmarks
from mitotype.experiments import render
from mitotype.experiments.plan import BenchmarkConfig, BenchmarkSettings, Plan
from mitotype.experiments.results import Table
from mitotype.features import features
from mitotype.fit.recipe import Recipe, read_recipe, with_settings
from mitotype.jobs.executor import LOCAL
from mitotype.jobs.task import Callbacks
from mitotype.recipes.benchmark import shared_recipe
from mitotype.recipes.study import study_recipe

ADAPTATIONS = {
    "shared": ("probe", "lora(8, 16)", "prompts(8)", "full"),
    "study": ("probe", "lora(8, 16, 0.3, targets=all)", "full"),
}
PUBLISHED, RANDOM = "published", "random"
CELL_OPTIONS = {"backbone": "--backbones", "adaptation": "--adaptations", "init_from": "--init-from"}  # not in settings


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(BenchmarkSettings):
    """The options of a benchmark, as the command takes them.

    Parameters
    ----------
    out : Path
        Folder of the benchmark; one that was stopped is continued.
    data : sequence of str
        Labelled patches: folders, csvs, or ``NAME=PATH``.
    hold_out : sequence of str, optional
        Published test sets whose slides and images are removed from the training data.
    backbones, adaptations : sequence of str, optional
        The cells of the table. Default: those of the published study.
    title : str, default ""
        A line under the table's heading.
    device : str, default "auto"
        Such as ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    backend : str, default "local"
        ``local``, ``ray``, or the address of a Ray cluster.
    workers : int, default 0
        Members at once on processors; 0: as many as there are cores for.
    n_boot : int, default 2000
        Bootstrap replicates over cases.
    test : sequence of str, optional
        Test data. Default: the test parts of `data`.
    settings : sequence of str, optional
        Changes of fields of every recipe, such as ``"epochs=5"``.
    init_from : sequence of str, optional
        Initial weights: ``published``, runs, ``BACKBONE=PATH`` or ``BACKBONE=random``.
    like : {"shared", "study"}, default "shared"
        One policy for all cells, or the study's own recipe for each.
    mpp_um : float, optional
        The µm/px of the images where it is not stated and not 0.25.

    See Also
    --------
    benchmark : Train and score many backbones.

    Examples
    --------
    >>> from pathlib import Path
    >>> import mitotype
    >>> options = mitotype.BenchmarkOptions(out=Path("bench"), data=["cohort"], backbones=["morphology"])
    >>> options.like
    'shared'
    """

    test: Sequence[str] = ()
    settings: Sequence[str] = ()
    init_from: Sequence[str] = ()
    like: str = "shared"
    mpp_um: float | None = None


def cell_recipe(
    like: str, settings: Sequence[str], sources: Mapping[str, str], backbone: str, adaptation: str
) -> Recipe:
    """Return the shared recipe of a cell or the study's, with the given settings and initial weights by backbone."""
    source = sources.get(backbone)
    source = "" if source == RANDOM else source
    if like == "shared" or backbone in features:
        recipe = shared_recipe(backbone, adaptation, PUBLISHED if source is None else source)
    else:
        recipe = study_recipe(backbone, adaptation)  # which has no ensemble, hence no decision of one
        recipe = dataclasses.replace(recipe, calibration="platt", threshold="balanced_accuracy")
        if source is not None:
            recipe = dataclasses.replace(recipe, init_from=source)
    return with_settings(recipe, settings)


def benchmark(options: BenchmarkOptions, *, threads: int | None = None, quiet: bool = True) -> Table:
    """Train and score every cell of a benchmark, into one table; the same options continue one that was stopped.

    Parameters
    ----------
    options : BenchmarkOptions
        Data, backbones, adaptations, and the folder.
    threads : int, optional
        Threads to compute with in this process. Default: as many as the CPUs that this process may use.
    quiet : bool, default True
        Show no progress.

    Returns
    -------
    Table
        One row per cell and test set; ``options.out`` has it as table.html, table.csv, table.md and table.json. A cell that
        failed is listed in it, and ``Table.raise_failures`` raises its error.

    Raises
    ------
    UserError
        For options that are not valid, test sets that share images or cases with the training data, and a folder that contains
        another benchmark.

    See Also
    --------
    train : Train a recipe into a run folder.
    compare : Compare two sets of scores.

    Examples
    --------
    >>> from pathlib import Path
    >>> import mitotype
    >>> cohort = mitotype.synthetic_cohort("cohort", patches=60, cases=12, domains=4)
    >>> options = mitotype.BenchmarkOptions(
    ...     out=Path("bench"), data=["cohort"], backbones=["morphology"], adaptations=["probe"], settings=["folds=2"], n_boot=50
    ... )
    >>> table = mitotype.benchmark(options)
    >>> (options.out / "table.html").is_file()
    True
    """
    use_threads(threads)
    with claimed(options), Progress(quiet=quiet) as progress:
        plan = prepare(options)
        log_notes(dict.fromkeys([*plan.notes(), *(note for test in plan.config.tests for note in test.notes)]))
        for skip in plan.skipped:
            LOGGER.info(f"left out: {skip}: {skip.reason}")
        n_tasks = len(plan.tasks())
        LOGGER.info(f"{len(plan.runs)} cells, {n_tasks} members to train, into {options.out}")
        return run_plan(plan, Callbacks(progress.training(), progress.counter("members", n_tasks)))


def table_text(table: Table) -> str:
    """Return a table as text for a terminal."""
    return render.plain(table)


@contextmanager
def claimed(options: BenchmarkOptions) -> Iterator[None]:
    """Hold the folder of a benchmark while the block runs. Raises a UserError if another process works in it."""
    stored = "Finished members and the last checkpoints are stored."
    with benchmarks.claimed(options.out, [*options.data, *options.test]), continued_by("repeat the command", stored):
        yield


def prepare(options: BenchmarkOptions) -> Plan:
    """Read the data, make paths absolute, and write the folder of every run; nothing is trained yet."""
    if options.like not in ADAPTATIONS:
        raise UserError(f"'{options.like}' is not a set of recipes.", allowed=", ".join(ADAPTATIONS))
    settings, sources = parse_settings(options.settings), parse_sources(options.init_from)
    shared = {field.name: getattr(options, field.name) for field in dataclasses.fields(BenchmarkSettings)}
    shared["backbones"] = options.backbones or published.study_backbones()
    shared["adaptations"] = options.adaptations or ADAPTATIONS[options.like]
    config = BenchmarkConfig(
        **shared,
        recipe_of=partial(cell_recipe, options.like, settings, sources),
        cohort=read_training_cohort(options.data, options.hold_out, options.mpp_um),
        tests=read_cohorts(options.test or options.data, TEST, options.mpp_um),
        options={
            "recipes": options.like,
            "settings": list(settings),
            "base_weights": [f"{name}={source}" for name, source in sorted(sources.items())],
        },
    )
    return benchmarks.prepare(config)


def run_plan(plan: Plan, callbacks: Callbacks) -> Table:
    """Train what is not trained, score what is not scored, and return the table."""
    config = plan.config
    is_local = config.backend == LOCAL or config.device == "cpu"
    device = config.device if is_local else "auto"  # the device of a cluster need not be here

    def score_tests(run_dir: Path, cohorts: Sequence[Cohort]) -> None:
        opened = open_bundle(run_dir, device=device)
        for cohort in cohorts:
            score_cohort(opened, cohort, [run_dir, config.out])
            LOGGER.info(f"{run_dir.name}: {len(cohort)} patches of {cohort.name} scored")

    return benchmarks.resume(plan, score_tests, callbacks)


def parse_settings(settings: Sequence[str]) -> tuple[str, ...]:
    """Return the settings, with the path of a teacher made absolute. Raises a UserError for settings that no cell accepts."""
    fields = {setting.partition("=")[0].strip() for setting in settings}
    for field, option in CELL_OPTIONS.items():
        if field in fields:
            raise UserError(f"In a benchmark {field} cannot be changed with --set.", fix=f"use {option}")
    with_settings(Recipe(name="any", backbone="any", size_px=64), settings)
    pairs = [(setting, *setting.partition("=")) for setting in settings]
    return tuple(f"teacher={_absolute(path)}" if name == "teacher" and path else text for text, name, _, path in pairs)


def parse_sources(texts: Sequence[str]) -> dict[str, str]:
    """Return the absolute path of the initial weights by backbone, or "random".

    The backbone of a run is read from it; a file or folder is given as BACKBONE=PATH.
    """
    sources: dict[str, str] = {}
    errors = ErrorCollector()
    for text in texts:
        if text == PUBLISHED:
            continue
        name, equals, source = text.partition("=")
        with errors.capture():
            if equals and not walk.exists(Path(text)):
                if name not in backbones:
                    raise unknown_name("backbone", name, backbones, "mitotype backbones")
            elif names.is_run(walk.expanded(text)):
                name, source = read_recipe(walk.expanded(text)).backbone, text
            else:
                raise UserError(
                    f"'{text}' does not name its backbone.",
                    allowed=f"BACKBONE={text}, BACKBONE={RANDOM}, {PUBLISHED}",
                )
            if source != RANDOM and not walk.exists(walk.expanded(source)):
                raise UserError(f"There are no weights at '{source}'.", fix="correct the path")
            if name in sources:
                raise UserError(f"The initial weights of {name} are given twice.", fix="give them once")
            sources[name] = source if source == RANDOM else _absolute(source)
    errors.raise_if_any()
    return sources


def _absolute(path: str) -> str:
    """Return an absolute path. Links are not resolved: their targets may have other names."""
    return os.path.normpath(walk.expanded(path).absolute())
