"""Prior: what a recipe takes from earlier runs: a trunk to start from, a teacher's scores to learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from mitotype.fit.run import Job


def start(recipe: Recipe, job: Job) -> Mapping[str, Tensor] | None:
    """The weights that `init_from` names: the member of the same fold and seed, else the same fold's first, else its only one."""
    if not recipe.init_from:
        return None
    from mitotype.backbones import members

    return members.read(_same_fold(Path(recipe.init_from), job)).classifier.state_dict()


def teacher(recipe: Recipe, job: Job, cohort: Cohort) -> dict[str, np.ndarray]:
    """The teacher's mean logit per training patch, by members that left out the same fold: no label of it leaks."""
    if not recipe.teacher:
        return {}
    return {"teacher": _teacher_logits(Path(recipe.teacher), job, cohort)}


def _teacher_logits(run: Path, job: Job, cohort: Cohort) -> np.ndarray:
    import numpy as np

    from mitotype.backbones import members
    from mitotype.backbones.predict import predict
    from mitotype.core import pictures
    from mitotype.views import Frame, views_at_test

    _check_same_split(run, cohort)
    image_N3HW = pictures.pack(cohort).image_N3HW
    found = []
    for place in _members(run, job.fold):
        member = members.read(place)
        said = predict(member.classifier, image_N3HW, Frame(member.frame), views_at_test(recipe_views(run)))
        found.append(np.mean(list(said.logit.values()), axis=0))
    return np.stack(found).mean(0).astype(np.float32)[:, None]


def recipe_views(run: Path) -> str:
    return str(files.read_json(run / "run.json", what="run")["recipe"]["views"])


def _check_same_split(run: Path, cohort: Cohort) -> None:
    theirs = files.read_table(run / "patches.parquet", what="teacher's table of patches").set_index("patch_id")["fold"]
    ours = cohort.rows.set_index("patch_id")["fold"]
    shared = ours.index.intersection(theirs.index)
    if not (ours[shared] == theirs[shared]).all():
        raise Mistake(f"The teacher '{run}' was trained on other folds, so it has seen patches that are left out here.",
                      fix="train the teacher with the same folds and data", code="M001")  # fmt: skip


def _members(run: Path, fold: int) -> list[Path]:
    """The members of a run that left out `fold` (0: those trained on every patch)."""
    found = [
        place for place in sorted((run / "members").glob("*")) if (place / "member.json").is_file()
        and files.read_json(place / "member.json").get("fold") == fold
    ]  # fmt: skip
    if not found:
        what = f"leaves out fold {fold}" if fold else "was trained on every patch"
        raise Mistake(f"No finished member of '{run}' {what}.", fix="finish that run, with the same folds and refit")
    return found


def _same_fold(run: Path, job: Job) -> Path:
    found = _members(run, job.fold)
    return next((place for place in found if place.name == job.name), found[0])
