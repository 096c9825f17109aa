"""Loop: one member from its first step to its last, with a checkpoint that resumes to the same bits.

Shapes: N training patches, B patches of a step, C side of the framed picture in px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mitotype.backbones import weights
from mitotype.backbones.adapters import trained
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.predict import Way, mixed, predict
from mitotype.backbones.weights import Base
from mitotype.core import seeds
from mitotype.core.mistakes import Mistake
from mitotype.fit import checkpoint, mixing, optimisers, ranks, samplers, schedule, stems
from mitotype.fit.average import Average
from mitotype.fit.recipe import Recipe
from mitotype.losses import Batch, Objective
from mitotype.views import Augment, Frame, rows_of, views_at_test


@dataclass(frozen=True)
class Patches:
    """What a member is trained on: pictures, labels (for the sampler), soft targets, targets of further heads, domains.

    `left` are the pictures and labels of the fold left out, for recipes that look at it after every epoch.
    """

    image_N3HW: np.ndarray
    label_N: np.ndarray
    target_N: np.ndarray
    further: Mapping[str, np.ndarray]
    domain_N: np.ndarray
    left: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Place:
    """Where a member is trained and kept: folder of its checkpoint, device, dtype of mixed precision, who is told, its base.

    `workers` members are trained at once on the machine and share its memory.
    """

    folder: Path
    device: str = "cpu"
    dtype: torch.dtype | None = None
    told: Callable[[dict[str, Any]], None] = lambda line: None
    base: Base | None = None
    workers: int = 1


@dataclass(frozen=True)
class Step:
    """What does not change from step to step."""

    recipe: Recipe
    patches: Patches
    augment: Augment
    objective: Objective
    seed: int
    place: Place
    rank: ranks.Ranks
    stems: stems.Stems | None


def train(recipe: Recipe, member: str, patches: Patches, place: Place) -> Classifier:
    """Train one member and return it with the averaged weights, in evaluation mode.

    Everything random follows from (recipe.seed, member, epoch, step), so a run that was stopped at any moment goes on to
    the same weights. A loss that is not finite is a Mistake.
    """
    objective = Objective(recipe.objective)
    if objective.reads_labels and not 0 < int(patches.label_N.sum()) < len(patches.label_N):
        raise Mistake(
            f"All {len(patches.label_N)} training patches of '{member}' are of one class.",
            fix="use fewer folds or other data",
        )
    seed = seeds.derive(recipe.seed, "member", member)
    model = begun(recipe, objective, place, seed)
    rates, sampler = schedule.read(recipe.schedule), samplers.read(recipe.sampler)
    pool = samplers.Pool(patches.label_N, patches.domain_N)
    keeper = checkpoint.Keeper(place.folder)
    steps_per_epoch = max(1, len(patches.label_N) // recipe.batch)
    batch = min(recipe.batch, len(patches.label_N))
    # the ranks may move the weights: whoever holds on to them comes after
    with ranks.joined(model, objective, batch, recipe.accumulate) as rank:
        state = checkpoint.State(model, Average(model, recipe.ema_decay), optimisers.build(recipe, model, place.dtype))
        checkpoint.load(place.folder, state)
        augment = Augment(recipe.augment)
        kept = stems.keep(model, recipe, patches, augment, place) if rank.count == 1 else None
        step = Step(recipe, patches, augment, objective, seed, place, rank, kept)
        while state.epochs < recipe.epochs and not _tired(recipe, state.held_out):
            epoch, losses = state.epochs, []
            order = sampler(seed, epoch, pool)
            learning(model)
            with seeds.forked_torch(seed, "dropout", epoch, *rank.words):
                for number in range(steps_per_epoch):
                    at = schedule.Place(
                        epoch * steps_per_epoch + number, steps_per_epoch, recipe.epochs, recipe.warmup_epochs, state.held_out
                    )  # fmt: skip
                    optimisers.set_rate(state.optimisers, rates.share(at))
                    losses.append(
                        _descend(step, order[number * recipe.batch : (number + 1) * recipe.batch], epoch, number)
                    )
                    optimisers.step(state.optimisers, model, recipe.clip)
                    state.average.update()
            loss_mean = rank.mean(float(torch.stack(losses).mean()))
            if not math.isfinite(loss_mean):
                raise Mistake(
                    f"The loss of '{member}' is not finite in epoch {epoch + 1}.",
                    fix="lower lr, or set clip=1 or precision=fp32",
                )
            state.epochs = epoch + 1
            told = {"member": member, "epoch": epoch + 1, "epochs": recipe.epochs, "loss": loss_mean}
            told |= _look(recipe, rates, step, state)
            if rank.writes:
                place.told(told)
                keeper.epoch_done(state)
    model = state.average.into(model)
    model.load_state_dict(state.best, strict=False)
    return model.eval()


def begun(recipe: Recipe, objective: Objective, place: Place, seed: int) -> Classifier:
    """The classifier before its first step: random weights from the seed, the base in its trunk, the adaptation put in."""
    told = architecture(recipe, objective, place.base)
    model = build(told, seed=seed, base_state=weights.state(place.base) if place.base else None)
    if recipe.recompute:
        model.trunk.recompute = True
    model = model.to(place.device).train()
    if place.device.startswith("cuda") and place.dtype is not None:
        halve_frozen(model, place.dtype)
    if recipe.compile:
        for block in getattr(model.trunk, "blocks", [model.trunk]):
            block.compile()
    return model


def learning(model: Classifier) -> None:
    """Training mode. A trunk that learns nothing stays in evaluation mode: its running statistics are its base's."""
    model.train()
    if not any(parameter.requires_grad for parameter in model.trunk.parameters()):
        model.trunk.eval()


def halve_frozen(model: Classifier, dtype: torch.dtype) -> None:
    """Keep the frozen matrices and kernels in the dtype of mixed precision: autocast would cast them again in every step.

    All else (norms, biases, position and class tokens) stays as it is: it weighs nothing and is reckoned in float32.
    """
    for module in model.trunk.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not module.weight.requires_grad:
            module.weight.data = module.weight.data.to(dtype)


def architecture(recipe: Recipe, objective: Objective, base: Base | None = None) -> Architecture:
    from mitotype.backbones import adapters, backbones

    facts = backbones.get(recipe.backbone).facts
    adaptation = adapters.read(recipe.adaptation)
    whole = isinstance(adaptation, adapters.Full) and not adaptation.last
    return Architecture(
        recipe.backbone,
        recipe.size_px,
        recipe.pooling or facts.default_pooling,
        objective.heads(),
        recipe.head_dropout,
        recipe.options,
        recipe.adaptation,
        base.digest if base and not whole else "",
        recipe.colours,
    )


def _descend(step: Step, chosen: np.ndarray, epoch: int, number: int) -> Tensor:
    """Gradients of one step's batch, in as many parts as the recipe says; the mean of the loss over this rank's patches."""
    total = torch.zeros((), device=step.place.device)
    parts = list(_parts(step, chosen, epoch, number))
    for last, (image_B3CC, batch) in enumerate(parts, 1 - len(parts)):
        with step.rank.quiet(last < 0):
            with mixed(step.place.device, step.place.dtype):
                outputs = step.stems.judge(image_B3CC) if step.stems else step.rank.model(image_B3CC)
            loss = step.objective(outputs, batch) / len(parts)
            loss.backward()
        total += loss.detach()
    return total


def _parts(step: Step, chosen: np.ndarray, epoch: int, number: int) -> Iterator[tuple[Tensor, Batch]]:
    """Pictures and targets of one step, augmented, then mixed; of this rank's share of the batch, part by part.

    Parameters are drawn for the whole batch, so that neither ranks nor parts change what a patch becomes. Where stems are kept,
    they stand in the place of pictures.
    """
    recipe, patches, device = step.recipe, step.patches, step.place.device
    chosen = np.repeat(chosen, recipe.draws)
    generator = seeds.torch_generator(step.seed, "step", epoch, number)
    drawn = step.augment.draw(len(chosen), generator, patches.image_N3HW.shape[-1])
    mixes = mixing.draw(len(chosen), recipe.mixup, generator) if recipe.mixup else None
    target_B = torch.from_numpy(patches.target_N[chosen]).to(device)
    extra = {name: torch.from_numpy(target[chosen]).to(device) for name, target in patches.further.items()}
    patch_B = torch.from_numpy(chosen)

    def shown(rows: slice | Tensor) -> Tensor:
        if step.stems:
            return step.stems.of(patch_B[rows], rows_of(drawn, rows))
        image_B3HW = torch.from_numpy(np.array(patches.image_N3HW[chosen[rows]])).to(device)
        return step.augment.apply(image_B3HW, rows_of(drawn, rows))

    for rows in step.rank.slices(len(chosen), recipe.accumulate):
        image_B3CC = shown(rows)
        if mixes is None:
            yield image_B3CC, Batch(target_B[rows], {k: v[rows] for k, v in extra.items()}, patch_B[rows].to(device))
            continue
        partner_B, share_B = mixes[0][rows], mixes[1][rows]
        other_B3CC = image_B3CC[partner_B] if len(image_B3CC) == len(chosen) else shown(partner_B)
        yield (
            mixing.mix(image_B3CC, other_B3CC, share_B),
            Batch(
                mixing.mix(target_B[rows], target_B[partner_B], share_B),
                {k: mixing.mix(v[rows], v[partner_B], share_B) for k, v in extra.items()},
                patch_B[rows].to(device),
            ),
        )


def _look(recipe: Recipe, rates: schedule.Schedule, step: Step, state: checkpoint.State) -> dict[str, float]:
    """The balanced accuracy at 0.5 on the fold left out, where the recipe asks for it; the best epoch's weights are kept."""
    if not (recipe.patience or rates.looks) or step.patches.left is None:
        return {}
    image_N3HW, label_N = step.patches.left
    way = Way(device=step.place.device, dtype=step.place.dtype)

    def balanced_accuracy() -> float:
        said = predict(state.model, image_N3HW, Frame(recipe.frame), views_at_test("identity"), way)
        called_N = said.logit["identity"] > 0
        return float((called_N[label_N == 1].mean() + (~called_N[label_N == 0]).mean()) / 2)

    score = step.rank.from_first(balanced_accuracy)
    if recipe.patience and score > max(state.held_out, default=-1.0):
        state.best = {name: value.detach().clone() for name, value in trained(state.model)}
    state.held_out.append(score)
    return {"held_out": score}


def _tired(recipe: Recipe, held_out: list[float]) -> bool:
    """Whether the last `patience` epochs brought nothing better."""
    if not recipe.patience or len(held_out) <= recipe.patience:
        return False
    return len(held_out) - 1 - int(np.argmax(held_out)) >= recipe.patience
