"""Train one member from its first step to its last, with a checkpoint that resumes bit for bit.

Shapes: N training patches, B patches of a step.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.amp import GradScaler

from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Classifier
from mitotype.backbones.predict import InferenceConfig, autocast, predict
from mitotype.core import files, seeds
from mitotype.core.errors import UserError
from mitotype.core.run_layout import LogLine, names
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import checkpoint, distributed, frozen_cache
from mitotype.fit.train.batches import BatchSource
from mitotype.fit.train.ema import EMA
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.fit.train.loss_scaling import build_scaler
from mitotype.fit.train.model import init_model, set_train_mode
from mitotype.fit.train.optimizers import build_optimizers, set_lr, update
from mitotype.fit.train.samplers import Patches, build_sampler
from mitotype.fit.train.schedules import ScheduleState, schedules
from mitotype.losses import LossContext, Objective
from mitotype.losses.built import BuiltObjective
from mitotype.scores.calibrate import sigmoid
from mitotype.transforms import Augment, Frame, tta_views


def train(recipe: Recipe, member: str, data: TrainData, context: TrainContext) -> Classifier:
    """Train one member and return it with its averaged weights, in evaluation mode.

    Everything random follows from (recipe.seed, member, epoch, step), so that a stopped run resumes to the same weights.
    Raises a UserError for a loss that is not finite.
    """
    # Model, schedule and sampler
    objective = Objective(recipe.objective)
    n_patches = len(data.label_N)
    if objective.reads_labels and not 0 < int(data.label_N.sum()) < n_patches:
        what = f"All {n_patches} training patches of '{member}' are of one class."
        raise UserError(what, fix="use fewer folds or other data")
    seed = seeds.derive(recipe.seed, "member", member)
    model = init_model(recipe, objective, context, seed)
    with seeds.forked_torch(seed, "objective"):
        loss = objective.build(LossContext(model.spec.pooling[model.architecture.pooling], data.domains))
    model.objective = loss.to(context.device)  # its parameters are trained with the net
    lr_schedule, sampler = schedules.build(recipe.schedule), build_sampler(recipe.sampler)
    writer = checkpoint.CheckpointWriter(context.dir)
    steps_per_epoch = max(1, n_patches // recipe.batch) if recipe.drop_last else math.ceil(n_patches / recipe.batch)
    # State. DDP may move the weights: EMA, optimizers and cache, which refer to them, are made inside.
    last_batch = n_patches - (steps_per_epoch - 1) * recipe.batch
    batch_sizes = {min(recipe.batch, n_patches), min(recipe.batch, last_batch)}
    with distributed.wrap(model, objective, batch_sizes, recipe.grad_accum_steps) as ranks:
        ema, optims = EMA(model, recipe.ema_decay), build_optimizers(recipe, model, context.amp_dtype)
        scaler = build_scaler(recipe, context.device, context.amp_dtype)
        state = checkpoint.TrainState(model, ema, optims, scaler)
        checkpoint.load(context.dir, state)
        augment = Augment(
            recipe.augment, bank_K3HW=None if data.bank_K3CC is None else torch.from_numpy(data.bank_K3CC)
        )
        cache = frozen_cache.build(model, recipe, data, augment, context) if ranks.count == 1 else None
        batches = BatchSource(recipe, data, augment, seed, context, ranks, cache)
        # Epochs
        while state.epochs_done < recipe.epochs and not _should_stop(recipe, state.val_scores):
            epoch, losses = state.epochs_done, []
            order_N = sampler(seed, epoch, Patches(data.label_N, data.domain_N, state.last_difficulty))
            set_train_mode(model)
            with seeds.forked_torch(seed, "dropout", epoch, *ranks.seed_purpose):
                for step in range(steps_per_epoch):
                    position = ScheduleState(
                        epoch * steps_per_epoch + step, steps_per_epoch, recipe.epochs, recipe.warmup_epochs, state.val_scores
                    )  # fmt: skip
                    set_lr(optims, lr_schedule.lr_scale(position))
                    patch_B = order_N[step * recipe.batch : (step + 1) * recipe.batch]
                    losses.append(_train_step(batches, loss, patch_B, position, scaler))
                    update(optims, model, recipe.grad_clip, scaler)
                    ema.update()
            mean_loss = ranks.mean(float(torch.stack(losses).mean()))
            if not math.isfinite(mean_loss):
                what = f"The loss of '{member}' is not finite in epoch {epoch + 1}."
                raise UserError(what, fix="lower lr, or set grad_clip=1 or precision=fp32")
            state.epochs_done = epoch + 1
            needs_validation = recipe.patience or lr_schedule.needs_validation
            held_out = _validate(batches, state) if needs_validation else None
            if sampler.needs_difficulty and state.epochs_done >= sampler.from_epoch:
                state.difficulties.append(_difficulty(batches, state))
            if distributed.is_main_process():
                context.on_log(
                    LogLine(member=member, epoch=epoch + 1, epochs=recipe.epochs, loss=mean_loss, held_out=held_out)
                )
                writer.maybe_save(state)
    # Averaged weights, or those of the best epoch with early stopping
    model = ema.copy_to(model)
    model.load_state_dict(state.best, strict=False)
    del model.objective
    if state.difficulties and distributed.is_main_process():
        files.write_array(context.dir / names.DIFFICULTY, np.stack(state.difficulties))
    return model.eval()


def _train_step(
    batches: BatchSource, objective: BuiltObjective, patch_B: np.ndarray, position: ScheduleState, scaler: GradScaler
) -> Tensor:
    """Accumulate the gradients of one step and return the mean loss over this rank's patches."""
    context, ranks, cache = batches.context, batches.ranks, batches.frozen_cache
    total = torch.zeros((), device=context.device)
    epoch, step = divmod(position.step, position.steps_per_epoch)
    parts = list(batches.parts(patch_B, epoch, step, position.progress))
    for i, (x_B, batch) in enumerate(parts, 1):
        with ranks.no_sync(i < len(parts)):
            with autocast(context.device, context.amp_dtype):
                outputs = cache.forward(x_B) if cache else ranks.model(x_B)
            loss = objective(outputs, batch) / len(parts)  # each backward sums gradients: normalize here
            scaler.scale(loss).backward()
        total += loss.detach()
    return total


def _validate(batches: BatchSource, state: checkpoint.TrainState) -> float | None:
    """Return the balanced accuracy at 0.5 on the fold left out, if there is one; with `patience` store the best weights."""
    if batches.data.validation is None:
        return None
    recipe = batches.recipe
    image_N3HW, label_N = batches.data.validation

    def balanced_accuracy() -> float:
        is_atypical_N = _logits(batches, state, image_N3HW) > 0
        return float((is_atypical_N[label_N == 1].mean() + (~is_atypical_N[label_N == 0]).mean()) / 2)

    score = batches.ranks.from_main(balanced_accuracy)
    if recipe.patience and score > max(state.val_scores, default=-1.0):
        state.best = {name: value.detach().clone() for name, value in trained_tensors(state.model)}
    state.val_scores.append(score)
    return score


def _difficulty(batches: BatchSource, state: checkpoint.TrainState) -> np.ndarray:
    """Return |t − p| of every training patch as it is, without augmentation, float16."""
    probability_N = sigmoid(_logits(batches, state, batches.data.image_N3HW))
    return np.abs(batches.data.target_N - probability_N).astype(np.float16)


def _logits(batches: BatchSource, state: checkpoint.TrainState, image_N3HW: np.ndarray) -> np.ndarray:
    """Return `logit_N` of images as they are, without augmentation."""
    context, frame = batches.context, Frame(batches.recipe.frame)
    config = InferenceConfig(device=context.device, dtype=context.amp_dtype)
    return predict(state.model, image_N3HW, frame, tta_views("identity"), config).logit["identity"]


def _should_stop(recipe: Recipe, val_scores: list[float]) -> bool:
    """Return whether the last `patience` epochs brought no better score."""
    if not recipe.patience or len(val_scores) <= recipe.patience:
        return False
    return len(val_scores) - 1 - int(np.argmax(val_scores)) >= recipe.patience
