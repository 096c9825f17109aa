"""Train a recipe into a run folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mitotype.api.data import read_cohort
from mitotype.core import outputs, walk
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import OccupiedError
from mitotype.core.interrupts import continued_by
from mitotype.core.run_layout import OnLog, names
from mitotype.core.schema import Cohort
from mitotype.datasets import overlaps, splits
from mitotype.fit import recipe as recipe_files
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import distributed
from mitotype.fit.validate import validate_recipe
from mitotype.recipes import recipes


def load_recipe(source: str | Path = "default", settings: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name, or that of a run by its path, with fields changed by `settings` such as "epochs=5"."""
    is_path = isinstance(source, Path) or (source not in recipes and walk.exists(Path(source)))
    recipe = recipe_files.read_recipe(Path(source)) if is_path else recipes.get(str(source))()
    return recipe_files.with_settings(recipe, settings)


def train(
    recipe: str | Recipe,
    data: Sequence[str],
    *,
    hold_out: Sequence[str] = (),
    out: Path | None = None,
    mpp_um: float | None = None,
    device: str = "auto",
    on_log: OnLog = lambda line: None,
    on_created: Callable[[Path], None] = lambda run_dir: None,
) -> Path:
    """Train a recipe on the training parts of `data` and return the folder of the run. No test set is opened.

    Parameters
    ----------
    recipe : a name, see `mitotype recipes`, or a Recipe, see `load_recipe`
    hold_out : test sets whose slides and images are removed from the training data, such as "amibr-test"
    out : the folder of the run; by default the first free one in runs/
    mpp_um : µm/px of the images where it is not 0.25
    on_log : receives a LogLine for each epoch of each member
    on_created : receives the folder when it has run.json, before anything is trained

    No other process trains in the folder meanwhile. Where several processes train one run the first one writes.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    validate_recipe(recipe)
    if distributed.world_size() > 1 and out is None:
        raise UserError("Several processes train one run, and its folder is not given.", fix="add --out runs/NAME")
    with _claimed(out, recipe.name, data) as run_dir:
        if distributed.is_main_process():
            cohort = read_training_cohort(data, hold_out, mpp_um)
            run.create(recipe, cohort, run_dir, data=data, hold_out=hold_out, device=device)
        distributed.wait_for(run_dir / names.RUN)
        on_created(run_dir)
        return resume(run_dir, on_log=on_log)


def resume(run_dir: Path, *, device: str | None = None, on_log: OnLog = lambda line: None) -> Path:
    """Complete a run that was stopped; see `fit.run.resume`."""
    stored = "Finished members and the last checkpoint are stored."
    with continued_by(f"mitotype resume {shlex.quote(str(run_dir))}", stored):
        return run.resume(run_dir, device=device, on_log=on_log)


@contextmanager
def _claimed(out: Path | None, name: str, data: Sequence[str]) -> Iterator[Path]:
    """Hold `out`, or the first of runs/NAME, runs/NAME-2 … that is free, and yield it."""
    with ExitStack() as stack:
        if out is not None:
            if distributed.is_main_process():
                stack.enter_context(outputs.claimed(out, names.RUN_FILES, inputs=data))
            yield out
            return
        for run_dir in outputs.numbered(Path("runs"), name):
            if run_dir.exists() and not (run_dir / names.LOCK).exists():
                continue
            with suppress(OccupiedError):
                stack.enter_context(outputs.claimed(run_dir, names.RUN_FILES))
                break
        yield run_dir


def read_training_cohort(data: Sequence[str], hold_out: Sequence[str] = (), mpp_um: float | None = None) -> Cohort:
    """Return the training parts of data as one cohort, each figure once, without what overlaps the held-out test sets.

    Its notes name the overlaps that remain with published test sets.
    """
    if not data:
        fix = "mitotype train default --data FOLDER, or download some: mitotype fetch amibr data"
        raise UserError("No training data are given.", fix=fix)
    cohort = splits.drop_repeated_figures(read_cohort(data, part="train", mpp_um=mpp_um))
    cohort = overlaps.hold_out(cohort, hold_out) if hold_out else cohort
    return Cohort(cohort.name, cohort.rows, (*cohort.notes, *overlaps.overlap_notes(cohort)))
