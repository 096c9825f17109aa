"""The gradient fitter: a classifier trained by `fit.train`, scored through the whole net."""

from __future__ import annotations

import numpy as np

from mitotype.backbones import member_files
from mitotype.backbones.predict import InferenceConfig, amp_dtype
from mitotype.backbones.predict import predict as predict_classifier
from mitotype.fit import environment, lineage, target_images, targets
from mitotype.fit.context import MemberContext
from mitotype.fit.train import checkpoint, distributed, trainer
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.losses import Objective
from mitotype.transforms import Frame, tta_views


def fit(context: MemberContext) -> None:
    """Train a classifier and write the member; the first of several processes writes."""
    recipe, plan, cohort = context.recipe, context.plan, context.run.cohort
    base = lineage.find_base(recipe, plan, cohort)
    train_context = TrainContext(
        dir=context.dir,
        device=context.device,
        amp_dtype=environment.DTYPES[context.run.record.precision],
        on_log=context.on_log,
        base=base,
        workers=context.run.record.workers,
    )
    classifier = trainer.train(recipe, plan.name, train_data(context), train_context)
    if distributed.is_main_process():
        sources = lineage.describe_sources(recipe, plan, cohort, base)
        fields = context.member_fields | sources
        member_files.write_member(context.dir, plan.name, recipe.frame, classifier, **fields)
        (context.dir / checkpoint.NAME).unlink(missing_ok=True)
    distributed.barrier()


def predict(context: MemberContext) -> dict[str, np.ndarray]:
    """Return the logits of the fold left out, by view."""
    member = member_files.read_member(context.dir, device=context.device)
    config = InferenceConfig(device=context.device, dtype=amp_dtype(context.device, context.recipe.precision))
    image_N3HW = context.run.image_N3HW[~context.is_train_N]
    views = tta_views(context.recipe.tta)
    return predict_classifier(member.classifier, image_N3HW, Frame(context.recipe.frame), views, config).logit


def train_data(context: MemberContext) -> TrainData:
    """Return the patches outside the member's fold with their targets, and the fold itself for validation."""
    recipe, run, is_train_N = context.recipe, context.run, context.is_train_N
    train = context.train_cohort
    domains = targets.domains(train)
    terms = Objective(recipe.objective).terms
    own_targets = targets.aux_targets(run.cohort, run.image_N3HW, terms, run.dir)
    aux_targets = {name: term.fit_targets(target_NK[is_train_N]) for name, (term, target_NK) in own_targets.items()}
    aux_targets |= lineage.teacher_targets(recipe, context.plan, train)
    validation = None
    if context.plan.fold:
        validation = run.image_N3HW[~is_train_N], run.cohort.rows["label"].to_numpy()[~is_train_N]
    return TrainData(
        image_N3HW=run.image_N3HW[is_train_N],
        label_N=train.rows["label"].to_numpy(dtype="int64"),
        target_N=targets.soft_targets(train, recipe.vote_smoothing, use_votes=bool(recipe.soft_labels)),
        aux_targets=aux_targets,
        domains=domains,
        domain_NM=targets.domain_targets(train, domains),
        bank_K3CC=target_images.crops(recipe, run.record.fourier_targets, run.image_N3HW.shape[-1]),
        validation=validation,
    )
