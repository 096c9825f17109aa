"""Prior: what a recipe takes from earlier runs: a trunk to start from, a teacher's scores to learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit.recipe import Recipe, from_run

if TYPE_CHECKING:
    import numpy as np

    from mitotype.backbones.weights import Base
    from mitotype.fit.run import Job


def base(recipe: Recipe, job: Job, cohort: Cohort) -> Base | None:
    """The weights that `init_from` names for one member.

    Of a run that read labels it is the member that left out the same fold (of the same seed, else the first), and the folds
    must agree (M001); of one that read none, a member that was trained on every patch.
    """
    if not recipe.init_from:
        return None
    from mitotype.backbones import weights

    run = Path(recipe.init_from).expanduser()
    if recipe.init_from == weights.PUBLISHED or not (run / "run.json").is_file():
        return weights.find(recipe.backbone, recipe.init_from)
    if reads_labels(run):
        _check_same_split(run, cohort)
        return weights.find(recipe.backbone, str(_same_fold(run, job)))
    return weights.find(recipe.backbone, str(_members(run, 0)[0]))


def told(base: Base | None) -> dict[str, Any] | None:
    """What a run or member keeps of its base: digest and source, never a path of this machine."""
    return {"backbone": base.backbone, "digest": base.digest, "source": base.source} if base else None


def notes(base: Base | None) -> list[str]:
    """What a run must say of the weights it stands on: their licence, where it binds, and how far the entry is proven."""
    if base is None:
        return []
    from mitotype.backbones import backbones

    facts = backbones.get(base.backbone).facts
    if facts.weights is None:
        return []
    found = []
    if not facts.shareable_derivatives:
        found.append(f"the weights of {base.backbone} are {facts.licence}: what is trained on them may not be shared")
    if not facts.commercial:
        found.append(f"the weights of {base.backbone} ({facts.licence}) allow no commercial use")
    return found


def reads_labels(run: Path) -> bool:
    from mitotype.losses import Objective

    return Objective(str(files.read_json(run / "run.json", what="run")["recipe"]["objective"])).reads_labels


def seen_before(recipe: Recipe) -> set[str]:
    """Digests of the pictures that the runs behind a recipe were trained on: they are no test set either."""
    found: set[str] = set()
    for where in (recipe.init_from, recipe.teacher):
        rows = Path(where).expanduser() / "patches.parquet"
        if where and rows.is_file():
            found |= set(files.read_table(rows)["digest"])
            found |= seen_before(from_run(rows.parent))
    return found


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
    theirs = files.read_table(run / "patches.parquet", what="table of patches").set_index("patch_id")["fold"]
    ours = cohort.rows.set_index("patch_id")["fold"]
    shared = ours.index.intersection(theirs.index)
    if not (ours[shared] == theirs[shared]).all():
        raise Mistake(f"'{run}' was trained on other folds, so it has seen patches that are left out here.",
                      fix="train it with the same folds and data", code="M001")  # fmt: skip


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
