"""Loop: one member from its first step to its last, with a checkpoint that resumes to the same bits.

Shapes: N training patches, B patches of a step, C side of the framed picture in px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.predict import mixed
from mitotype.core import seeds
from mitotype.core.mistakes import Mistake
from mitotype.fit import checkpoint, mixing, optimisers, samplers
from mitotype.fit.average import Average
from mitotype.fit.recipe import Recipe
from mitotype.losses import Batch, Objective
from mitotype.views import Augment


@dataclass(frozen=True)
class Patches:
    """What a member is trained on: pictures, labels (for the sampler), soft targets, targets of further heads, domains."""

    image_N3HW: np.ndarray
    label_N: np.ndarray
    target_N: np.ndarray
    further: Mapping[str, np.ndarray]
    domain_N: np.ndarray


@dataclass(frozen=True)
class Place:
    """Where a member is trained and kept: folder of its checkpoint, device, dtype of mixed precision, who is told."""

    folder: Path
    device: str = "cpu"
    dtype: torch.dtype | None = None
    told: Callable[[dict[str, Any]], None] = lambda line: None
    start: Mapping[str, Tensor] | None = None  # weights of `init_from`


def rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The share of the full learning rate at a step: linear warm-up over `warmup_epochs`, then a half cosine to 0."""
    warm = recipe.warmup_epochs * steps_per_epoch
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, recipe.epochs * steps_per_epoch - warm)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(recipe: Recipe, member: str, patches: Patches, place: Place) -> Classifier:
    """Train one member and return it with the averaged weights, in evaluation mode.

    Everything random follows from (recipe.seed, member, epoch, step), so a run that was stopped at any moment goes on to
    the same weights. A loss that is not finite is a Mistake.
    """
    if not 0 < int(patches.label_N.sum()) < len(patches.label_N):
        raise Mistake(
            f"All {len(patches.label_N)} training patches of '{member}' are of one class.",
            fix="use fewer folds or other data",
        )
    objective = Objective(recipe.objective)
    seed = seeds.derive(recipe.seed, "member", member)
    model = build(architecture(recipe, objective), seed=seed)
    if place.start is not None:
        _start_from(model, place.start)
    model = model.to(place.device).train()
    average = Average(model, recipe.ema_decay)
    steppers = optimisers.build(recipe, model)
    done = checkpoint.load(place.folder, model, average, steppers)
    augment = Augment(recipe.augment)
    sampler = samplers.read(recipe.sampler)
    pool = samplers.Pool(patches.label_N, patches.domain_N)
    keeper = checkpoint.Keeper(place.folder)
    steps_per_epoch = max(1, len(patches.label_N) // recipe.batch)
    for epoch in range(done, recipe.epochs):
        order = sampler(seed, epoch, pool)
        losses = []
        with seeds.forked_torch(seed, "dropout", epoch):
            for number in range(steps_per_epoch):
                step = epoch * steps_per_epoch + number
                optimisers.set_rate(steppers, rate(recipe, step, steps_per_epoch))
                chosen = order[number * recipe.batch : (number + 1) * recipe.batch]
                generator = seeds.torch_generator(seed, "step", epoch, number)
                image_B3CC, batch = _batch(recipe, patches, chosen, augment, generator, place.device)
                with mixed(place.device, place.dtype):
                    outputs = model(image_B3CC)
                loss = objective(outputs, batch)
                loss.backward()
                optimisers.step(steppers, model, recipe.clip)
                average.update(model)
                losses.append(loss.detach())
        loss_mean = float(torch.stack(losses).mean())
        if not math.isfinite(loss_mean):
            raise Mistake(
                f"The loss of '{member}' is not finite in epoch {epoch + 1}.",
                fix="lower lr, or set clip=1 or precision=fp32",
            )
        place.told({"member": member, "epoch": epoch + 1, "epochs": recipe.epochs, "loss": loss_mean})
        keeper.epoch_done(epoch + 1, model, average, steppers)
    return average.model().eval()


def architecture(recipe: Recipe, objective: Objective) -> Architecture:
    from mitotype.backbones import backbones

    facts = backbones.get(recipe.backbone).facts
    return Architecture(
        recipe.backbone,
        recipe.size_px,
        recipe.pooling or facts.default_pooling,
        objective.heads(),
        recipe.head_dropout,
        recipe.options,
    )


def _batch(
    recipe: Recipe, patches: Patches, chosen: np.ndarray, augment: Augment, generator: torch.Generator, device: str
) -> tuple[Tensor, Batch]:
    """The pictures and targets of one step: augmented, then mixed."""
    image_B3HW = torch.from_numpy(np.array(patches.image_N3HW[chosen])).to(device)
    drawn = augment.draw(len(chosen), generator, image_B3HW.shape[-1])
    image_B3CC = augment.apply(image_B3HW, drawn)
    target_B = torch.from_numpy(patches.target_N[chosen]).to(device)
    extra = {name: torch.from_numpy(target[chosen]).to(device) for name, target in patches.further.items()}
    if recipe.mixup:
        partner_B, share_B = mixing.draw(len(chosen), recipe.mixup, generator)
        image_B3CC = mixing.mix(image_B3CC, partner_B, share_B)
        target_B = mixing.mix(target_B, partner_B, share_B)
        extra = {name: mixing.mix(target, partner_B, share_B) for name, target in extra.items()}
    return image_B3CC, Batch(target_B, extra)


def _start_from(model: Classifier, start: Mapping[str, Tensor]) -> None:
    """Take the trunk of another run; the heads stay as they are initialised."""
    trunk = {key.removeprefix("trunk."): value.float() for key, value in start.items() if key.startswith("trunk.")}
    try:
        model.trunk.load_state_dict(trunk)
    except RuntimeError as error:
        raise Mistake(
            "The trunk of init_from is not the trunk of this recipe.", fix="use the same backbone and options"
        ) from error
