"""Run: one experiment is one folder that resumes after a kill and says DONE last.

run.json          every resolved field, which were chosen, versions, machine, digests of data and split
patches.parquet   the training patches, with digest and fold       scores.parquet   out-of-fold rows
members/          what was trained, in half precision              log.jsonl        one line per epoch
decision.json     calibration, threshold, abstention, from out-of-fold rows only
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files, pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import OUT_OF_FOLD, Cohort
from mitotype.fit.recipe import Recipe, from_plain

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mitotype.fit.loop import Patches

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
    """Train `recipe` on a labelled training cohort into a new folder. No test set is opened.

    Raises a Mistake for a folder that is taken, patches without a label, one class only, and whatever `Recipe.check` finds.
    """
    from mitotype.datasets import splits
    from mitotype.fit import folds, machine
    from mitotype.scores import table

    if (folder / "run.json").exists():
        raise Mistake(
            f"'{folder}' already holds a run.", fix=f"mitotype resume {folder}, or choose another folder with --out"
        )
    recipe.check()
    _check_labels(cohort)
    pack = pictures.pack(cohort, min_px=_needs_px(recipe))
    fold = folds.assign(recipe, cohort)
    rows = cohort.rows.assign(digest=list(pack.digests), fold=fold.loc[cohort.rows["patch_id"]].to_numpy())
    if "dataset" not in rows:
        rows = rows.assign(dataset=cohort.name)
    table.write(folder, table.Scores(rows, table.none()))
    files.write_json(
        folder / "run.json",
        {
            "recipe": recipe.plain(),
            "chosen": recipe.chosen(),
            "data": {"where": list(data), "hold_out": list(hold_out), "patches": len(rows), "atypical": int(rows["label"].sum()),
                     "cases": int(rows["case_id"].nunique()), "digest": files.digest_of(*sorted(pack.digests))},
            "split": {"folds": recipe.folds, "digest": splits.digest(fold)},
            "notes": list(cohort.notes),
            "started": _now(),
            **machine.told(recipe, device, len(jobs(recipe, sorted(set(fold))))),
        },
    )  # fmt: skip
    return go_on(folder, told=told)


def go_on(folder: Path, *, told: Told = lambda line: None) -> Path:
    """Bring a run to its end from wherever it stands; a run that is DONE is left as it is."""
    from mitotype.fit import crew

    run = files.read_json(folder / "run.json", what="run")
    recipe = from_plain(run["recipe"])
    with files.locked(folder / ".lock"):
        if (folder / DONE).exists():
            return folder
        rows, image_N3HW = opened(folder, run, recipe)
        todo = jobs(recipe, sorted(set(rows["fold"])))
        if run["workers"] > 1:
            crew.train(folder, todo, run["workers"], told)
        else:
            for number, job in enumerate(todo, 1):
                one(folder, job, {"job": number, "jobs": len(todo)}, told)
        finish(folder, run, recipe, image_N3HW, rows["fold"].to_numpy())
        files.write_json(folder / "run.json", run | {"finished": _now()})
        files.write_text(folder / DONE, _now() + "\n")
    return folder


def opened(folder: Path, run: dict[str, Any], recipe: Recipe) -> tuple[pd.DataFrame, np.ndarray]:
    """A run's table of patches and its pictures, which must be those that it was started with."""
    from mitotype.fit import machine

    machine.as_told(run)
    rows = files.read_table(folder / "patches.parquet", what="run's table of patches")
    pack = pictures.pack(Cohort(str(rows["dataset"].iloc[0]), rows), min_px=_needs_px(recipe))
    if list(pack.digests) != list(rows["digest"]):
        raise Mistake(
            f"The pictures of '{folder}' have changed since it was started.", fix="restore them, or train anew"
        )
    return rows, pack.image_N3HW


def one(folder: Path, job: Job, place: dict[str, Any], told: Told = lambda line: None) -> None:
    """Train one member unless it is whole, and write its out-of-fold rows unless they are there."""
    from mitotype.backbones import members
    from mitotype.backbones.predict import precision, predict
    from mitotype.fit import checkpoint, loop, machine, prior
    from mitotype.scores import table
    from mitotype.views import Frame, views_at_test

    run = files.read_json(folder / "run.json", what="run")
    recipe = from_plain(run["recipe"])
    rows, image_N3HW = opened(folder, run, recipe)
    cohort = Cohort(str(rows["dataset"].iloc[0]), rows)
    inside = rows["fold"] != job.fold
    inside_N = inside.to_numpy()
    mine = folder / "members" / job.name
    if not (mine / members.TOLD).is_file():
        listen = functools.partial(_log, folder, told, place)
        where = loop.Place(mine, run["device"], machine.dtype(run), listen, prior.start(recipe, job))
        known = patches(folder, recipe, job, cohort, image_N3HW)
        classifier = loop.train(recipe, job.name, known, where)
        more = {"fold": job.fold, "seed": job.seed, "epochs": recipe.epochs}
        members.write(mine, job.name, recipe.frame, classifier, more=more)
        (mine / checkpoint.NAME).unlink(missing_ok=True)
    if job.fold and not table.has(folder, member=job.name):
        member = members.read(mine, device=run["device"])
        said = predict(
            member.classifier,
            image_N3HW[~inside_N],
            Frame(recipe.frame),
            views_at_test(recipe.views),
            device=run["device"],
            dtype=precision(run["device"]),
        )
        left = rows[~inside].reset_index(drop=True)
        found = table.rows(list(left["patch_id"]), said.logit, part=OUT_OF_FOLD, fold=job.fold, member=job.name)
        table.append(folder, table.Scores(left, found))


def patches(folder: Path, recipe: Recipe, job: Job, cohort: Cohort, image_N3HW: np.ndarray) -> Patches:
    """What one member is trained on: the patches outside its fold, with their targets."""
    from mitotype.fit import loop, prior, targets
    from mitotype.losses import Objective

    inside_N = (cohort.rows["fold"] != job.fold).to_numpy()
    known = cohort.take(cohort.rows["fold"] != job.fold)
    all_of_them = targets.further(cohort, image_N3HW, Objective(recipe.objective).heads(), folder)
    further = {name: target_NK[inside_N] for name, target_NK in all_of_them.items()}
    if "descriptor" in further:
        further["descriptor"] = targets.standardised(further["descriptor"])
    further |= prior.teacher(recipe, job, known)
    label_N, domain_N = known.rows["label"].to_numpy(dtype="int64"), known.rows["domain"].to_numpy()
    return loop.Patches(image_N3HW[inside_N], label_N, targets.soft(known, recipe.votes_prior), further, domain_N)


def finish(folder: Path, run: dict[str, Any], recipe: Recipe, image_N3HW: np.ndarray, fold_N: np.ndarray) -> None:
    """Fit the decision and the flag on the out-of-fold rows and write them."""
    from mitotype.fit import unlike
    from mitotype.scores import decision, ensemble, table

    scores = table.read(folder)
    rules = {"calibration": recipe.calibration, "threshold": recipe.threshold, "abstention": recipe.abstention}
    fitted = decision.fit(scores.joined(ensemble.mean_logit(scores)), **rules, seed=recipe.seed)
    files.write_json(folder / "decision.json", fitted.to_dict())
    unlike.fit(folder, recipe.seed, run["device"], fold_N, image_N3HW)


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


def _needs_px(recipe: Recipe) -> int:
    from mitotype.views import Augment, Frame

    return max(Frame(recipe.frame).needs_px, Augment(recipe.augment).needs_px)


def _log(folder: Path, told: Told, place: dict[str, Any], line: dict[str, Any]) -> None:
    line = place | line
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    told(line)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
