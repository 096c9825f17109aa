"""Validation of a recipe: the value of every field, and how the fields fit together."""

from __future__ import annotations

import dataclasses

from mitotype.backbones import backbones, weights
from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.model_spec import NORMALIZATION, ModelSpec
from mitotype.core import spec, walk
from mitotype.core.errors import ErrorCollector, UserError
from mitotype.core.schema import PATCH_PX
from mitotype.features import features
from mitotype.fit import lineage
from mitotype.fit.recipe import FIELDS, Recipe
from mitotype.fit.train.optimizers import optimizers
from mitotype.fit.train.samplers import build_sampler
from mitotype.fit.train.schedules import schedules
from mitotype.losses import Objective, losses
from mitotype.scores.abstentions import abstentions
from mitotype.scores.thresholds import thresholds
from mitotype.transforms import Augment, Frame, tta_views

FOLDS = ("study", "domain", "none")


def validate_recipe(recipe: Recipe) -> None:
    """Check a recipe. Raises one UserError that lists everything that is wrong with it."""
    errors = ErrorCollector()
    for check in (
        lambda: _check_backbone(recipe),
        lambda: Frame(recipe.frame),
        lambda: Augment(recipe.augment),
        lambda: tta_views(recipe.tta),
        lambda: Objective(recipe.objective),
        lambda: build_sampler(recipe.sampler),
        lambda: schedules.build(recipe.schedule),
        lambda: optimizers.build(recipe.optimizer),
        lambda: thresholds.build(recipe.threshold),
        lambda: abstentions.build(recipe.abstention),
        lambda: adaptations.build(recipe.adaptation),
        lambda: _check_sizes(recipe),
        lambda: _check_losses(recipe),
        lambda: _check_targets(recipe),
        lambda: _check_probe_members(recipe),
        lambda: _check_values(recipe),
        lambda: _check_folds(recipe),
    ):
        with errors.capture():
            check()
    errors.raise_if_any()


def resolve_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe with the input size of its backbone, where it leaves it open, and with absolute paths."""
    size_px = recipe.size_px
    if not size_px and recipe.backbone not in features:
        size_px = backbones.get(recipe.backbone).spec.size_px
    init_from, teacher, targets = (
        _absolute(path) for path in (recipe.init_from, recipe.teacher, recipe.fourier_targets)
    )
    return dataclasses.replace(recipe, size_px=size_px, init_from=init_from, teacher=teacher, fourier_targets=targets)


def _absolute(source: str) -> str:
    """Return an existing path as an absolute one, anything else unchanged."""
    path = walk.expanded(source)
    return str(path.absolute()) if source not in ("", weights.PUBLISHED) and walk.exists(path) else source


def _check_backbone(recipe: Recipe) -> None:
    """Check that the backbone offers the adaptation, pooling and sizes of the recipe."""
    name = recipe.backbone
    if name in features:
        if recipe.adaptation != "probe":
            raise UserError(f"'{name}' is a feature, which is not trained.", allowed="adaptation=probe")
        return
    model_spec = backbones.get(name).spec
    model_spec.check_size(recipe.size_px or model_spec.size_px, name)
    if recipe.pooling and recipe.pooling not in model_spec.pooling:
        raise UserError(f"{name} has no pooling '{recipe.pooling}'.", allowed=", ".join(sorted(model_spec.pooling)))
    if recipe.normalization and recipe.normalization not in NORMALIZATION:
        raise UserError(f"normalization is '{recipe.normalization}'.", allowed=", ".join(sorted(NORMALIZATION)))
    _check_adaptation(recipe, model_spec)


def _check_adaptation(recipe: Recipe, model_spec: ModelSpec) -> None:
    """Check what the adaptation needs of the backbone and of other fields. An invalid one is reported elsewhere."""
    try:
        adaptation = adaptations.build(recipe.adaptation)
    except UserError:
        return
    if reason := adaptation.unsupported_reason(model_spec):
        raise UserError(
            f"'{recipe.adaptation}' does not fit {recipe.backbone}: {reason}.", fix="set adaptation=full, or another"
        )
    has_layers = model_spec.blocks > 0 or model_spec.state_dict_format != "own"  # timm knows the layers of its nets
    if not has_layers and (recipe.grad_checkpointing or adaptation.decay != 1):
        what = f"{recipe.backbone} has no blocks for grad_checkpointing=1 or for a learning rate that falls from block to block."
        raise UserError(what, fix="set grad_checkpointing=0 and adaptation=full")
    if adaptation.is_solved and Objective(recipe.objective).aux_heads():
        raise UserError("A probe has one head; its objective needs auxiliary heads.", allowed="objective=soft_bce")
    if not adaptation.trains_base and not recipe.init_from:
        what = f"'{recipe.adaptation}' adapts pretrained weights, and init_from is empty: adapting random ones measures nothing."
        raise UserError(what, allowed="init_from=published, or a file, folder or run")


def _check_sizes(recipe: Recipe) -> None:
    """Check that images have the same size in training and at test time. Invalid specs are reported elsewhere."""
    try:
        framed, augmented = Frame(recipe.frame).output_px(PATCH_PX), Augment(recipe.augment).output_px(PATCH_PX)
    except UserError:
        return
    if framed != augmented:
        what = f"frame gives {framed} px and augment {augmented} px."
        raise UserError(what, fix="end both with the same crop")


def _check_losses(recipe: Recipe) -> None:
    """Check what the losses need of other fields. An invalid objective is reported elsewhere."""
    try:
        terms = {step.name: losses.get(step.name) for step in spec.weighted_sum(recipe.objective)}
    except UserError:
        return
    errors = ErrorCollector()
    for name, term in terms.items():
        if term.reads_teacher and not recipe.teacher:
            what = f"The loss '{name}' learns the scores of a teacher, and teacher is empty."
            errors.add(UserError(what, fix=f"set teacher=RUN, or remove {name} from the objective"))
        if term.compares_views and recipe.n_views < 2:
            what = f"The loss '{name}' compares views of a patch, and n_views is {recipe.n_views}."
            errors.add(UserError(what, fix="set n_views=2"))
        for field, title in (("mixup", "MixUp"), ("cutmix", "CutMix")):
            if term.compares_views and getattr(recipe, field):
                what = f"The loss '{name}' compares patches, which {title} mixes."
                errors.add(UserError(what, fix=f"set {field}=0"))
    if recipe.teacher and not any(term.reads_teacher for term in terms.values()):
        what = f"teacher is '{recipe.teacher}', and no loss learns its scores."
        errors.add(UserError(what, fix="add distil to the objective, or leave teacher empty"))
    errors.raise_if_any()


def _check_targets(recipe: Recipe) -> None:
    """Check that target images are used where they are given. An invalid augment is reported elsewhere."""
    try:
        needs_targets = Augment(recipe.augment).needs_targets
    except UserError:
        return
    if recipe.fourier_targets and not needs_targets:
        what = f"fourier_targets is '{recipe.fourier_targets}', and augment has no step that reads it."
        raise UserError(what, fix="add fourier to augment, or leave fourier_targets empty")


def _check_probe_members(recipe: Recipe) -> None:
    """Check the number of a probe's members: its fit is not random, so they differ only where their initial weights do."""
    try:
        is_solved = adaptations.build(recipe.adaptation).is_solved
    except UserError:
        return
    if not is_solved or lineage.find_run(recipe.init_from):
        return
    if max(recipe.seeds, recipe.n_final_models) > 1:
        what = "The members of a probe are the same for every seed."
        raise UserError(what, allowed="seeds=1, and n_final_models of 0 or 1, with this adaptation")


def _check_values(recipe: Recipe) -> None:
    """Check the type, range and choices of every field."""
    errors = ErrorCollector()
    for name, field in FIELDS.items():
        with errors.capture():
            field.check(getattr(recipe, name))
    if recipe.grad_accum_steps >= 1 and recipe.batch % recipe.grad_accum_steps:
        what = f"batch={recipe.batch} is not divisible by grad_accum_steps={recipe.grad_accum_steps}."
        errors.add(UserError(what, fix="choose a multiple"))
    errors.raise_if_any()


def _check_folds(recipe: Recipe) -> None:
    """Check that a member and a decision can come from the folds, and that no domain that is left out stops its own training."""
    errors = ErrorCollector()
    if recipe.folds not in FOLDS and not (recipe.folds.isdigit() and 2 <= int(recipe.folds) <= 100):
        errors.add(UserError(f"folds is '{recipe.folds}'.", allowed=", ".join((*FOLDS, "or a number from 2 to 100"))))
    if recipe.folds == "none" and not recipe.n_final_models:
        what = "folds is 'none' and n_final_models is 0: the run has no members."
        errors.add(UserError(what, fix="set n_final_models=1"))
    if recipe.folds == "domain" and (recipe.patience > 0 or schedules.build(recipe.schedule).needs_validation):
        what = "Early stopping and the schedule 'plateau' look at the fold that is left out, which is the domain to be reported."
        errors.add(UserError(what, fix="set patience=0 and schedule=cosine"))
    errors.raise_if_any()
