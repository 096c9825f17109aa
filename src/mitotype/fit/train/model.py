"""The classifier of a recipe before its first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mitotype.backbones import backbones, weights
from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.classifier import Architecture, Classifier, build
from mitotype.backbones.equivariant import D4BatchNorm2d
from mitotype.backbones.weights import PretrainedWeights
from mitotype.core import seeds
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.inputs import TrainContext
from mitotype.losses import Objective

NORMS = (_BatchNorm, D4BatchNorm2d)  # those with running statistics


def _init_as_timm(head: nn.Linear) -> None:
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)


HEAD_INIT: dict[str, Callable[[Any], None]] = {  # "small" is how a head is built
    "small": lambda head: None,
    "linear": nn.Linear.reset_parameters,
    "timm": _init_as_timm,
}


def init_model(recipe: Recipe, objective: Objective, context: TrainContext, seed: int) -> Classifier:
    """Return the classifier with random weights from the seed, the pretrained ones in its trunk, and the adaptation applied."""
    base_state = weights.read_state_dict(context.base) if context.base else None
    model = build(architecture(recipe, objective, context.base), seed=seed, base_state=base_state)
    with seeds.forked_torch(seed, "head"):
        HEAD_INIT[recipe.head_init](model.head)
    if recipe.grad_checkpointing:
        model.trunk.set_grad_checkpointing(True)
    model = model.to(context.device).train()
    if context.device.startswith("cuda") and context.amp_dtype is not None:
        cast_frozen(model, context.amp_dtype)
    if recipe.compile:
        for block in getattr(model.trunk, "blocks", [model.trunk]):
            block.compile()
    return model


def architecture(recipe: Recipe, objective: Objective, base: PretrainedWeights | None = None) -> Architecture:
    """Return the architecture of a recipe's classifier. It names its base unless every weight is trained."""
    replaces_base = adaptations.build(recipe.adaptation).replaces_base
    return Architecture(
        recipe.backbone,
        recipe.size_px,
        recipe.pooling or backbones.get(recipe.backbone).spec.default_pooling,
        dict(objective.aux_heads()),
        recipe.head_dropout,
        dict(recipe.model_kwargs),
        recipe.adaptation,
        base.digest if base and not replaces_base else "",
        recipe.normalization,
    )


def set_train_mode(model: Classifier) -> None:
    """Set training mode. A trunk with frozen weights, or its norms alone if others are trained, stays in evaluation mode.

    Running statistics are those of the frozen weights; moved by training they would not be stored beside an adapter.
    """
    model.train()
    is_trained = [parameter.requires_grad for parameter in model.trunk.parameters()]
    if not any(is_trained):
        model.trunk.eval()
    elif not all(is_trained):
        for module in model.trunk.modules():
            if isinstance(module, NORMS):
                module.eval()


def uses_batch_statistics(model: Classifier) -> bool:
    """Return whether norms of the trunk normalize by the batch in training: see `set_train_mode`."""
    is_trained = all(parameter.requires_grad for parameter in model.trunk.parameters())
    return is_trained and any(isinstance(module, NORMS) for module in model.trunk.modules())


def cast_frozen(model: Classifier, dtype: torch.dtype) -> None:
    """Cast frozen matrices and kernels to the dtype of mixed precision: autocast would do it again in every step.

    Norms, biases and tokens stay float32, in which they are used; they need little memory.
    """
    for module in model.trunk.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not module.weight.requires_grad:
            module.weight.data = module.weight.data.to(dtype)
