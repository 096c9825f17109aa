"""Run: one experiment is one folder that resumes after a kill and says DONE last.

run.json          every resolved field, which were chosen, versions, machine, digests of data, split and base weights
patches.parquet   the training patches, with digest and fold       scores.parquet   out-of-fold rows
members/          what was trained, in half precision              log.jsonl        one line per epoch
decision.json     calibration, threshold, abstention, from out-of-fold rows only
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files, pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit.recipe import Recipe, from_plain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Told = Callable[[dict[str, Any]], None]
DONE = "DONE"


@dataclass(frozen=True)
class Job:
    """One member to train: its name, the fold it leaves out (0: none) and the number of its seed."""

    name: str
    fold: int
    seed: int


def jobs(recipe: Recipe, folds: Sequence[int]) -> list[Job]:
    """Fold members seed by seed, then those trained on every patch."""
    found = [Job(f"fold{fold}-seed{seed}", fold, seed) for seed in range(recipe.seeds) for fold in folds]
    found = [] if recipe.folds == "none" else found
    return found + [Job(f"all-seed{seed}", 0, seed) for seed in range(recipe.refit)]


def start(
    recipe: Recipe,
    cohort: Cohort,
    folder: Path,
    *,
    data: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    device: str = "auto",
    told: Told = lambda line: None,
) -> Path:
    """Train `recipe` on a labelled training cohort into a new folder. No test set is opened. See `prepare`."""
    prepare(recipe, cohort, folder, data=data, hold_out=hold_out, device=device)
    return go_on(folder, told=told)


def prepare(
    recipe: Recipe,
    cohort: Cohort,
    folder: Path,
    *,
    data: Sequence[str] = (),
    hold_out: Sequence[str] = (),
    device: str = "auto",
    here: bool = True,
) -> None:
    """Write everything that decides a run into its folder; nothing is trained yet. The base weights are found first.

    `here` is False where another machine trains the members: then `device` need not be on this one.
    Raises a Mistake for a folder that is taken, patches without a label, one class only, what a term of the objective lacks,
    weights that are not to be had, and whatever `Recipe.check` finds. Then nothing is written.
    """
    from mitotype.datasets import splits
    from mitotype.fit import folds, machine, prior, targets
    from mitotype.losses import Objective
    from mitotype.scores import table

    if (folder / "run.json").exists():
        raise Mistake(
            f"'{folder}' already holds a run.", fix=f"mitotype resume {folder}, or choose another folder with --out"
        )
    recipe.check()
    recipe = recipe.resolved()
    _check_labels(cohort)
    targets.check(cohort, Objective(recipe.objective).heads())
    pack = pictures.pack(cohort, min_px=needs_px(recipe))
    fold = folds.assign(recipe, cohort)
    rows = cohort.rows.assign(digest=list(pack.digests), fold=fold.loc[cohort.rows["patch_id"]].to_numpy())
    if "dataset" not in rows:
        rows = rows.assign(dataset=cohort.name)
    todo = jobs(recipe, sorted(set(fold)))
    known = Cohort(cohort.name, rows)
    base = prior.base(recipe, todo[0], known)
    stands_on = prior.stands_on(recipe, todo, known)
    taught_by = prior.taught_by(recipe, todo[0], known, base)
    place = machine.told(recipe, device, len(todo), here=here)
    table.write(folder, table.Scores(rows, table.none()))
    files.write_json(
        folder / "run.json",
        {
            "recipe": recipe.plain(),
            "chosen": recipe.chosen(),
            "data": {"where": list(data), "hold_out": list(hold_out), "patches": len(rows), "atypical": int(rows["label"].sum()),
                     "cases": int(rows["case_id"].nunique()), "digest": files.digest_of(*sorted(pack.digests))},
            "split": {"folds": recipe.folds, "digest": splits.digest(fold)},
            "base": prior.told(base),
            **stands_on,
            "reads_labels": prior.labelled(recipe),
            "notes": [*cohort.notes, *prior.notes([prior.told(base), *taught_by])],
            "started": _now(),
            **place,
        },
    )  # fmt: skip


def go_on(folder: Path, *, told: Told = lambda line: None) -> Path:
    """Bring a run to its end from wherever it stands; a run that is DONE is left as it is.

    Where several processes were launched together (`accelerate launch -m mitotype resume RUN`), they train every member
    together; the first of them keeps the folder.
    """
    from mitotype.fit import crew, member, ranks

    run = files.read_json(folder / "run.json", what="run")
    recipe = from_plain(run["recipe"])
    with files.locked(folder / ".lock") if ranks.writes() else nullcontext():
        if (folder / DONE).exists():
            return folder
        rows, image_N3HW = opened(folder, run, recipe)
        todo = jobs(recipe, sorted(set(rows["fold"])))
        if run["workers"] > 1 and ranks.count() == 1:
            crew.train(folder, todo, run["workers"], told)
        else:
            for number, job in enumerate(todo, 1):
                member.one(folder, job, {"job": number, "jobs": len(todo)}, told)
        if ranks.writes():
            finish(folder, run, recipe, image_N3HW, rows["fold"].to_numpy())
    return folder


def opened(folder: Path, run: dict[str, Any], recipe: Recipe) -> tuple[pd.DataFrame, np.ndarray]:
    """A run's table of patches and its pictures, which must be those that it was started with."""
    from mitotype.fit import machine

    machine.as_told(run)
    rows = files.read_table(folder / "patches.parquet", what="run's table of patches")
    pack = pictures.pack(Cohort(str(rows["dataset"].iloc[0]), rows), min_px=needs_px(recipe))
    if list(pack.digests) != list(rows["digest"]):
        raise Mistake(
            f"The pictures of '{folder}' have changed since it was started.", fix="restore them, or train anew"
        )
    return rows, pack.image_N3HW


def finish(folder: Path, run: dict[str, Any], recipe: Recipe, image_N3HW: np.ndarray, fold_N: np.ndarray) -> None:
    """Fit the decision and the flag on the out-of-fold rows, write them, and say DONE. Without such rows neither is fitted."""
    from mitotype.fit import machine, prior, unlike
    from mitotype.scores import decision, ensemble, table

    scores = table.read(folder)
    if len(scores.scores):
        rules = {"calibration": recipe.calibration, "threshold": recipe.threshold, "abstention": recipe.abstention}
        fitted = decision.fit(scores.joined(ensemble.mean_logit(scores)), **rules, seed=recipe.seed)
        fitted = decision.also_seen(fitted, prior.seen_before(recipe))
        files.write_json(folder / "decision.json", fitted.to_dict())
        if recipe.flag:
            unlike.fit(folder, recipe.seed, machine.nearest(run), fold_N, image_N3HW)
    files.write_json(folder / "run.json", run | {"finished": _now()})
    files.write_text(folder / DONE, _now() + "\n")


def _check_labels(cohort: Cohort) -> None:
    label = cohort.rows["label"]
    if label.isna().any():
        raise Mistake(
            f"{int(label.isna().sum())} patches of '{cohort.name}' have no label.",
            fix="training needs labelled patches only",
        )
    if label.nunique() < 2:
        raise Mistake(
            f"All {len(label)} patches of '{cohort.name}' are of one class.",
            fix="training needs atypical and normal figures",
        )


def needs_px(recipe: Recipe) -> int:
    """The smallest side of a picture that the recipe trains on."""
    from mitotype.views import Augment, Frame

    return max(Frame(recipe.frame).needs_px, Augment(recipe.augment).needs_px)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
