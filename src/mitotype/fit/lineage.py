"""Lineage: initial weights and teachers from earlier runs, and the checks that no label or test image leaks through them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mitotype.backbones import backbones, member_files, weights
from mitotype.backbones.predict import predict
from mitotype.backbones.weights import PretrainedWeights
from mitotype.core import walk
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.run_layout import RunRecord, WeightsSource, names, read_member, read_run
from mitotype.core.run_layout.training import RunReference, bundle_digests, find_run, training_patches
from mitotype.core.schema import Cohort
from mitotype.fit.members import MemberPlan
from mitotype.fit.recipe import Recipe, read_recipe
from mitotype.fit.train.schedules import schedules
from mitotype.losses import Objective
from mitotype.scores.decision import short_digest
from mitotype.transforms import Frame, tta_views

# initial weights


def find_base(recipe: Recipe, plan: MemberPlan, cohort: Cohort) -> PretrainedWeights | None:
    """Return the weights that a member starts from by `init_from`, None for random ones.

    Of a run that used labels it is the member that left out the same fold (of the same seed, else the first), and the folds
    of both runs must agree (M001). Of a run without labels it is a member trained on every patch.
    """
    if not recipe.init_from:
        return None
    source = find_run(recipe.init_from)
    if source is None:
        _check_bundle_is_apart(recipe.init_from, plan, cohort)
        return weights.find(recipe.backbone, recipe.init_from)
    labels_used = run_uses_labels(source.dir)
    if labels_used and recipe.folds != "none":  # with "none" nothing is left out
        _check_same_folds(source.dir, cohort)
    if source.member:
        if labels_used:
            _check_fold(source, plan)
        return weights.find(recipe.backbone, recipe.init_from)
    member_dirs = _members_without(source.dir, plan.fold if labels_used else 0)
    same_name = [path for path in member_dirs if labels_used and path.name == plan.name]
    return weights.find(recipe.backbone, str((same_name or member_dirs)[0]))


# teachers


def teacher_targets(recipe: Recipe, plan: MemberPlan, cohort: Cohort) -> dict[str, np.ndarray]:
    """Return the mean logit of the teacher's members that left out the same fold, by patch: no label of it leaks."""
    if not recipe.teacher:
        return {}
    run_dir = walk.expanded(recipe.teacher)
    views = tta_views(read_recipe(run_dir).tta)
    image_N3HW = pack_images(cohort).image_N3HW
    logit_MN = []
    for member_dir in _teacher_dirs(recipe, plan, cohort):
        member = member_files.read_member(member_dir)
        prediction = predict(member.classifier, image_N3HW, Frame(member.frame), views)
        logit_MN.append(np.mean(list(prediction.logit.values()), axis=0))
    return {"teacher": np.stack(logit_MN).mean(0).astype(np.float32)[:, None]}


def _teacher_bases(
    recipe: Recipe, plan: MemberPlan, cohort: Cohort, base: PretrainedWeights | None
) -> list[WeightsSource]:
    """Return the initial weights of a member's teachers, and of the teachers of those and of its own base, each once."""
    members = [read_member(path) for path in _teacher_dirs(recipe, plan, cohort)]
    bases = [source for member in members for source in (member.base, *member.teacher_bases) if source]
    base_dir = Path(base.path).parent if base else None
    if base_dir and (base_dir / names.MEMBER).is_file():
        bases += read_member(base_dir).teacher_bases
    return list({(source.backbone, source.digest): source for source in bases}.values())


def _teacher_dirs(recipe: Recipe, plan: MemberPlan, cohort: Cohort) -> list[Path]:
    """Return the teacher's members that left out the same fold."""
    if not recipe.teacher:
        return []
    run_dir = walk.expanded(recipe.teacher)
    _check_same_folds(run_dir, cohort)
    return _members_without(run_dir, plan.fold)


# what run.json and member.json record


def describe_sources(
    recipe: Recipe, plan: MemberPlan, cohort: Cohort, base: PretrainedWeights | None
) -> dict[str, Any]:
    """Return the fields `base` and `teacher_bases` of a member's record."""
    source = WeightsSource(base.backbone, base.digest, base.source) if base else None
    return {"base": source, "teacher_bases": _teacher_bases(recipe, plan, cohort, base)}


def base_digest(recipe: Recipe, plan: MemberPlan, cohort: Cohort) -> str | None:
    """Return the digest of a member's initial weights, None for random ones."""
    base = find_base(recipe, plan, cohort)
    return base.digest if base else None


def teacher_digests(recipe: Recipe, plan: MemberPlan, cohort: Cohort) -> dict[str, str]:
    """Return the digests of a member's teachers by their names."""
    return {path.name: read_member(path).digest for path in _teacher_dirs(recipe, plan, cohort)}


def check_sources_unchanged(record: RunRecord, recipe: Recipe, plan: MemberPlan, cohort: Cohort) -> None:
    """Check that initial weights and teachers of a member are those that run.json records; older runs record none."""
    base, teachers = base_digest(recipe, plan, cohort), teacher_digests(recipe, plan, cohort)
    for kind, source, stored, current in (
        ("initial weights", recipe.init_from, record.bases, base),
        ("teacher", recipe.teacher, record.teachers, teachers),
    ):
        if stored is not None and stored.get(plan.name) != current:
            what = f"The {kind} of '{plan.name}' have changed since its run was started."
            raise UserError(what, fix=f"restore '{source}', or train anew")


def license_notes(sources: Iterable[WeightsSource | None]) -> list[str]:
    """Return what the licenses of initial weights (see `describe_sources`) forbid, one line each."""
    notes = []
    for name in dict.fromkeys(source.backbone for source in sources if source):
        model_spec = backbones.get(name).spec
        if model_spec.weights is None:
            continue
        if not model_spec.shareable_derivatives:
            notes.append(f"the weights of {name} are {model_spec.license}: what is trained on them may not be shared")
        if not model_spec.commercial:
            notes.append(f"the weights of {name} ({model_spec.license}) allow no commercial use")
    return notes


# which labels and images were used before


def run_uses_labels(run_dir: Path) -> bool:
    """Return whether labels influenced a run, as run.json records; for older runs, by their recipe."""
    stored = read_run(run_dir).reads_labels
    return uses_labels(read_recipe(run_dir)) if stored is None else stored


def uses_labels(recipe: Recipe) -> bool:
    """Return whether labels influence what is trained: by loss, sampler, early stopping, teacher or initial weights."""
    needs_validation = recipe.patience > 0 or schedules.build(recipe.schedule).needs_validation
    if recipe.folds != "none" and needs_validation:
        return True
    if Objective(recipe.objective).reads_labels or recipe.sampler != "uniform" or recipe.teacher:
        return True
    source = find_run(recipe.init_from)
    return run_uses_labels(source.dir) if source else bool(bundle_digests(recipe.init_from))


def seen_digests(recipe: Recipe) -> set[str]:
    """Return the digests of the images that the sources of a recipe were trained on: no test set may contain them."""
    digests: set[str] = set()
    for path in (recipe.init_from, recipe.teacher):
        source = find_run(path)
        if source is None:
            digests |= bundle_digests(path)
        else:
            digests |= set(training_patches(source.dir)["digest"]) | seen_digests(read_recipe(source.dir))
    return digests


# members of other runs


def _members_without(run_dir: Path, fold: int) -> list[Path]:
    """Return the members of a run that left out `fold` (0: those trained on every patch)."""
    member_dirs = [path for path in names.member_dirs(run_dir) if read_member(path).fold == fold]
    if not member_dirs:
        fix = "finish that run, with the same folds and n_final_models"
        raise UserError(f"No complete member of '{run_dir}' {_trained_on(fold)}.", fix=fix)
    return member_dirs


def _trained_on(fold: int | None) -> str:
    return f"leaves out fold {fold}" if fold else "was trained on every patch"


def _check_same_folds(run_dir: Path, cohort: Cohort) -> None:
    """Check that no patch is in one fold there and in another one here, nor the case or image of a patch that is only there."""
    there, here = training_patches(run_dir), cohort.rows
    other = there[~there["patch_id"].isin(here["patch_id"])]
    for name, rows in (("patch_id", there), ("case_id", other), ("digest", other)):
        own, others = (table.loc[table[name].fillna("") != "", [name, "fold"]] for table in (here, rows))
        both = own.drop_duplicates().merge(others.drop_duplicates(), on=name, suffixes=("", "_there"))
        if (both["fold"] != both["fold_there"]).any():
            what = f"'{run_dir}' was trained on other folds, so it has seen patches that are left out here."
            raise UserError(what, fix="train it with the same folds and data", code="M001")


def _check_fold(source: RunReference, plan: MemberPlan) -> None:
    fold = read_member(names.member_dir(source.dir, source.member)).fold
    if fold != plan.fold:
        what = f"The member '{source.member}' of '{source.dir}' {_trained_on(fold)}, and '{plan.name}' {_trained_on(plan.fold)}."
        raise UserError(what, fix=f"name the run itself: init_from={source.dir}", code="M001")


def _check_bundle_is_apart(source: str, plan: MemberPlan, cohort: Cohort) -> None:
    """Check that a bundle was not trained on patches that are left out; it records its training images, but not their folds."""
    left_out = cohort.rows["digest"][cohort.rows["fold"] == plan.fold] if plan.fold else ()
    shared = {short_digest(digest) for digest in left_out} & bundle_digests(source)
    if shared:
        what = f"The bundle of '{source}' was trained on {len(shared)} of the patches that '{plan.name}' leaves out."
        raise UserError(what, fix="name the run that it was made of, or train on other data", code="M001")
