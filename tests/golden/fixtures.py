"""The fixtures in v0_1_0/: runs and bundles, how version 0.1.0 wrote them and what they say.

run/, bundle/         the smallest net, two folds and one member on every patch, tested and evaluated
bundle_lora/          LoRA on a tiny transformer, with its base
bundle_morphology/    shape descriptors with a logistic head

The nets are not the package's own: `cohorts.small_nets` puts them on the shelf.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from tests.golden.cohorts import SMALLEST, SMALLEST_VIT, held_out, training, weights_file
from tests.golden.fitters import SHORT, fitted
from tests.golden.numbers import HERE, Flat, flat
from tests.golden.package import (
    OUT_OF_FOLD,
    TEST,
    Cohort,
    Decision,
    Recipe,
    evaluate,
    files,
    make,
    scorer,
    table,
    work,
)

FOLDER = HERE / "v0_1_0"
NAMES = ("run", "bundle", "bundle_lora", "bundle_morphology")
DRAWS, SAMPLED = 200, 16
UNNEEDED = ("report*.html", "*.lock", ".*.lock", "cache*")

_SHORT = {**SHORT, "augment": "d4 | stain(0.05) | crop(64)", "batch": 8}
_PLAIN = Recipe(
    name="tiny", backbone=SMALLEST, size_px=64, lr=0.01, refit=1, objective="soft_bce + 0.2 * expert",
    **{**_SHORT, "flag": 1, "views": "flip", "epochs": 40, "seed": 4},
)  # fmt: skip
_LORA = Recipe(name="lora", backbone=SMALLEST_VIT, adaptation="lora(2)", lr=0.01, refit=1, **_SHORT)
_MORPHOLOGY = Recipe(
    name="morphology", backbone="morphology", size_px=64, adaptation="probe", refit=1, **{**_SHORT, "augment": "crop(64)"}
)  # fmt: skip


def write(cohort: Cohort, folder: Path) -> None:
    """Train, test, evaluate and bundle in `folder`, and take over what belongs to the fixtures."""
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    where = _run(_PLAIN, cohort, folder)
    work.scored(scorer.open_scorer(str(where)), held_out(cohort), (where,))
    sys.argv = ["mitotype", "evaluate", "run"]
    for part in (TEST, OUT_OF_FOLD):
        work.evaluate(str(where), [], None, part, False, DRAWS)
    _without_places(where)
    shutil.copytree(where, FOLDER / "run", ignore=shutil.ignore_patterns(*UNNEEDED))
    make.bundle(FOLDER / "run", FOLDER / "bundle", name="tiny", notes="A fixture.")
    base = weights_file(_LORA.backbone, folder, dtype=torch.float16)
    for recipe in (replace(_LORA, init_from=str(base)), _MORPHOLOGY):
        make.bundle(_run(recipe, cohort, folder), FOLDER / f"bundle_{recipe.name}", name=recipe.name)


def _run(recipe: Recipe, cohort: Cohort, folder: Path) -> Path:
    return fitted(recipe, training(cohort), folder / "fixtures", data=["cohort"])[0]


def _without_places(where: Path) -> None:
    """Paths of pictures as they would be beside the run: cohort/patches/NAME.png."""
    patches = files.read_table(where / "patches.parquet")
    patches["path"] = [f"cohort/patches/{Path(path).name}" for path in patches["path"]]
    files.write_table(where / "patches.parquet", patches)


def sample(cohort: Cohort) -> Cohort:
    """16 patches of both parts."""
    places = [number * len(cohort) // SAMPLED for number in range(SAMPLED)]
    return cohort.take(pd.Series(range(len(cohort))).isin(places))


def evaluation() -> Flat:
    """Both parts of the run's scores, evaluated by its decision."""
    scores = table.read(FOLDER / "run")
    decision = Decision.from_dict(files.read_json(FOLDER / "run" / "decision.json"))
    return flat({part: evaluate(scores, decision, part=part, draws=DRAWS).to_dict() for part in (TEST, OUT_OF_FOLD)})


def stored_logits() -> Flat:
    """The test rows in the run's table."""
    rows = table.read(FOLDER / "run").take(part=TEST).scores
    return {f"{row.patch_id}/{row.member}/{row.view}": row.logit for row in rows.itertuples(index=False)}
