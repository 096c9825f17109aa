"""Prior: what a recipe takes from earlier runs: a trunk to start from, a teacher's scores to learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.fit.recipe import Recipe, from_run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mitotype.backbones.weights import Base
    from mitotype.fit.run import Job


def base(recipe: Recipe, job: Job, cohort: Cohort) -> Base | None:
    """The weights that `init_from` names for one member.

    Of a run that read labels it is the member that left out the same fold (of the same seed, else the first), and the folds
    must agree (M001); of one that read none, a member that was trained on every patch. A member that is named itself is held
    to the same.
    """
    if not recipe.init_from:
        return None
    from mitotype.backbones import weights

    found = named(recipe.init_from)
    if found is None:
        _check_unseen(recipe.init_from, job, cohort)
        return weights.find(recipe.backbone, recipe.init_from)
    by_label = reads_labels(found.run)
    if by_label and recipe.folds != "none":  # with "none" nothing is left out
        _check_same_split(found.run, cohort)
    if found.member:
        if by_label:
            _check_left_out(found, job)
        return weights.find(recipe.backbone, recipe.init_from)
    member = _same_fold(found.run, job) if by_label else _members(found.run, 0)[0]
    return weights.find(recipe.backbone, str(member))


def stands_on(recipe: Recipe, todo: Sequence[Job], cohort: Cohort) -> dict[str, dict[str, Any]]:
    """Digests of what every member takes from elsewhere: of its base (None: random weights), and of its teachers by name."""
    bases = {job.name: base(recipe, job, cohort) for job in todo}
    return {
        "bases": {name: found.digest if found else None for name, found in bases.items()},
        "teachers": {job.name: _digests(_teachers(recipe, job, cohort)) for job in todo},
    }


def check_same(run: Mapping[str, Any], recipe: Recipe, job: Job, cohort: Cohort) -> None:
    """What a member is about to take must be what was there when its run was started. Older runs did not write it down."""
    for key, found in stands_on(recipe, [job], cohort).items():
        if key in run and run[key].get(job.name) != found[job.name]:
            what = f"The {'weights' if key == 'bases' else 'teacher'} under '{job.name}' changed since its run was started."
            where = recipe.init_from if key == "bases" else recipe.teacher
            raise Mistake(what, fix=f"restore '{where}', or train anew")


def _digests(members: Sequence[Path]) -> dict[str, str]:
    return {place.name: str(files.read_json(place / "member.json", what="member")["digest"]) for place in members}


@dataclass(frozen=True)
class Named:
    """A run of our own that a recipe names, and the member of it where one is named ("" for the run itself)."""

    run: Path
    member: str = ""


def named(where: str) -> Named | None:
    """The run that `where` names: its folder, `RUN/members/NAME`, or what lies in that. None where it names none."""
    from mitotype.backbones.weights import PUBLISHED

    if where in ("", PUBLISHED):
        return None
    place = Path(where).expanduser().resolve()
    if (place / "run.json").is_file():
        return Named(place)
    for inside in (place, *place.parents):
        if inside.parent.name == "members" and (inside.parent.parent / "run.json").is_file():
            return Named(inside.parent.parent, inside.name)
    return None


def told(base: Base | None) -> dict[str, Any] | None:
    """What a run or member keeps of its base: digest and source, never a path of this machine."""
    return {"backbone": base.backbone, "digest": base.digest, "source": base.source} if base else None


def taught_by(recipe: Recipe, job: Job, cohort: Cohort, base: Base | None) -> list[dict[str, Any]]:
    """The bases of a member's teachers, and of those that taught them or its own base, as `told` has them; each once."""
    members = [files.read_json(place / "member.json", what="member") for place in _teachers(recipe, job, cohort)]
    found = [one for member in members for one in (member.get("base"), *(member.get("taught_by") or [])) if one]
    own = Path(base.path).parent / "member.json" if base else None
    if own and own.is_file():
        found += files.read_json(own, what="member").get("taught_by") or []
    return list({(one["backbone"], one["digest"]): one for one in found}.values())


def notes(sources: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """What a run must say of the licences of the weights that it stands on or learns from: those of its base, as `told` has
    it, and of its teachers."""
    from mitotype.backbones import backbones

    found = []
    for name in dict.fromkeys(source["backbone"] for source in sources if source):
        facts = backbones.get(name).facts
        if facts.weights is None:
            continue
        if not facts.shareable_derivatives:
            found.append(f"the weights of {name} are {facts.licence}: what is trained on them may not be shared")
        if not facts.commercial:
            found.append(f"the weights of {name} ({facts.licence}) allow no commercial use")
    return found


def reads_labels(run: Path) -> bool:
    """Whether labels had any part in a run, as it wrote down; older runs are judged by their recipe."""
    told = files.read_json(run / "run.json", what="run")
    return bool(told["reads_labels"]) if "reads_labels" in told else labelled(from_run(run))


def labelled(recipe: Recipe) -> bool:
    """Whether labels have a part in what is trained: in the loss, the order of patches, when it stops, or what came before."""
    from mitotype.fit import schedule
    from mitotype.losses import Objective

    looks = recipe.folds != "none" and (recipe.patience > 0 or schedule.read(recipe.schedule).looks)
    if Objective(recipe.objective).reads_labels or recipe.sampler != "uniform" or recipe.teacher or looks:
        return True
    before = named(recipe.init_from)
    return reads_labels(before.run) if before else bool(_digests_of_bundle(recipe.init_from))


def seen_before(recipe: Recipe) -> set[str]:
    """Digests of the pictures that the runs behind a recipe were trained on: they are no test set either."""
    found: set[str] = set()
    for where in (recipe.init_from, recipe.teacher):
        before = named(where)
        if before is None:
            found |= _digests_of_bundle(where)
            continue
        found |= set(_trained_on(before.run)["digest"]) | seen_before(from_run(before.run))
    return found


def _trained_on(run: Path) -> pd.DataFrame:
    """The patches of a run's training set; a test set that was scored stands in the same table, in fold 0."""
    rows = files.read_table(run / "patches.parquet", what="table of patches")
    return rows[rows["fold"] > 0]


def _digests_of_bundle(where: str) -> set[str]:
    """The shortened digests that a bundle keeps of its training pictures, where `where` lies in a bundle."""
    from mitotype.backbones.weights import PUBLISHED

    if where in ("", PUBLISHED):
        return set()
    place = Path(where).expanduser().resolve()
    for folder in (place, *list(place.parents)[:3]):
        if (folder / "bundle.json").is_file():
            decide = files.read_json(folder / "bundle.json", what="bundle").get("decide") or {}
            return set(decide.get("digests", ()))
    return set()


def teacher(recipe: Recipe, job: Job, cohort: Cohort) -> dict[str, np.ndarray]:
    """The teacher's mean logit per training patch, by members that left out the same fold: no label of it leaks."""
    if not recipe.teacher:
        return {}
    return {"teacher": _teacher_logits(recipe, job, cohort)}


def _teachers(recipe: Recipe, job: Job, cohort: Cohort) -> list[Path]:
    """The teacher's members that left out the same fold."""
    if not recipe.teacher:
        return []
    run = Path(recipe.teacher).expanduser()
    _check_same_split(run, cohort)
    return _members(run, job.fold)


def _teacher_logits(recipe: Recipe, job: Job, cohort: Cohort) -> np.ndarray:
    import numpy as np

    from mitotype.backbones import members
    from mitotype.backbones.predict import predict
    from mitotype.core import pictures
    from mitotype.views import Frame, views_at_test

    views = views_at_test(recipe_views(Path(recipe.teacher).expanduser()))
    image_N3HW = pictures.pack(cohort).image_N3HW
    found = []
    for place in _teachers(recipe, job, cohort):
        member = members.read(place)
        said = predict(member.classifier, image_N3HW, Frame(member.frame), views)
        found.append(np.mean(list(said.logit.values()), axis=0))
    return np.stack(found).mean(0).astype(np.float32)[:, None]


def recipe_views(run: Path) -> str:
    return str(files.read_json(run / "run.json", what="run")["recipe"]["views"])


def _check_same_split(run: Path, cohort: Cohort) -> None:
    theirs = _trained_on(run).set_index("patch_id")["fold"]
    ours = cohort.rows.set_index("patch_id")["fold"]
    shared = ours.index.intersection(theirs.index)
    if not (ours[shared] == theirs[shared]).all():
        raise Mistake(f"'{run}' was trained on other folds, so it has seen patches that are left out here.",
                      fix="train it with the same folds and data", code="M001")  # fmt: skip


def _check_left_out(found: Named, job: Job) -> None:
    fold = files.read_json(found.run / "members" / found.member / "member.json", what="member").get("fold")
    if fold != job.fold:
        theirs, ours = (f"leaves out fold {n}" if n else "was trained on every patch" for n in (fold, job.fold))
        what = f"The member '{found.member}' of '{found.run}' {theirs}, and '{job.name}' {ours}."
        raise Mistake(what, fix=f"name the run itself: init_from={found.run}", code="M001")


def _check_unseen(where: str, job: Job, cohort: Cohort) -> None:
    """A bundle tells which pictures it was trained on, but not in which folds."""
    from mitotype.scores.decision import short

    left = cohort.rows["digest"][cohort.rows["fold"] == job.fold] if job.fold else ()
    seen = {short(digest) for digest in left} & _digests_of_bundle(where)
    if seen:
        what = f"The bundle behind '{where}' was trained on {len(seen)} of the patches that '{job.name}' leaves out."
        raise Mistake(what, fix="name the run that it was made of, or train on other data", code="M001")


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
