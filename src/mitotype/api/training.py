"""Train a recipe into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mitotype.api.data import read_cohort
from mitotype.core.errors import UserError
from mitotype.core.run_layout import OnLog, names
from mitotype.core.schema import Cohort
from mitotype.datasets import overlaps, splits
from mitotype.fit import recipe as recipe_files
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.fit.run import resume as resume
from mitotype.fit.train import distributed
from mitotype.fit.validate import validate_recipe
from mitotype.recipes import recipes


def load_recipe(source: str | Path = "default", settings: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name, or that of a run by its path, with fields changed by `settings` such as "epochs=5"."""
    is_path = isinstance(source, Path) or (source not in recipes and Path(source).exists())
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
) -> Path:
    """Train a recipe on the training parts of `data` and return the folder of the run. No test set is opened.

    Parameters
    ----------
    recipe : a name, see `mitotype recipes`, or a Recipe, see `load_recipe`
    hold_out : test sets whose slides and images are removed from the training data, such as "amibr-test"
    out : the folder of the run; by default the first free one in runs/
    mpp_um : µm/px of the images where it is not 0.25
    on_log : receives a LogLine for each epoch of each member
    """
    run_dir = create_run(recipe, data, hold_out=hold_out, out=out, mpp_um=mpp_um, device=device)
    return resume(run_dir, on_log=on_log)


def create_run(
    recipe: str | Recipe,
    data: Sequence[str],
    *,
    hold_out: Sequence[str] = (),
    out: Path | None = None,
    mpp_um: float | None = None,
    device: str = "auto",
) -> Path:
    """Write the folder of a run without training it; see `train`. Among several processes the first one writes."""
    recipe = load_recipe(recipe) if isinstance(recipe, str) else recipe
    validate_recipe(recipe)
    if distributed.world_size() > 1 and out is None:
        raise UserError("Several processes train one run, and its folder is not given.", fix="add --out runs/NAME")
    run_dir = out or _next_free(Path("runs"), recipe.name)
    if distributed.is_main_process():
        cohort = read_training_cohort(data, hold_out, mpp_um)
        run.create(recipe, cohort, run_dir, data=data, hold_out=hold_out, device=device)
    distributed.wait_for(run_dir / names.RUN)
    return run_dir


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


def _next_free(parent: Path, name: str) -> Path:
    taken = [path.name for path in parent.glob(f"{name}*")] if parent.is_dir() else []
    return parent / (name if name not in taken else f"{name}-{len(taken) + 1}")
