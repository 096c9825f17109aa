"""OptimizerChoice: the base class of the optimizers that a recipe names, the registry, and what the trainer does with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.classifier import Classifier
from mitotype.core.registry import Registry
from mitotype.fit.recipe import Recipe

Parameters = dict[str, nn.Parameter]
Groups = list[dict[str, Any]]


class OptimizerChoice:
    """An optimizer: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments.

    The fields lr, beta2, muon_lr and weight_decay of the recipe are its other settings.
    """

    def build(
        self, recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None
    ) -> list[Optimizer]:
        """Return torch optimizers over all of `trained`, parameters by name; `dtype` is that of mixed precision."""
        raise NotImplementedError


optimizers: Registry[type[OptimizerChoice]] = Registry("optimizer", "optimizers", "mitotype.fit.train.optimizers")


def build_optimizers(recipe: Recipe, model: Classifier, dtype: torch.dtype | None = None) -> list[Optimizer]:
    """Return the optimizers of a recipe; every parameter group has its learning rate as `initial_lr` too.

    `dtype` is that of mixed precision, None for float32.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optims = optimizers.build(recipe.optimizer).build(recipe, model, trained, dtype)
    for optim in optims:
        for group in optim.param_groups:
            group["initial_lr"] = group["lr"]
    return optims


def parameter_groups(recipe: Recipe, model: Classifier, trained: Parameters) -> Groups:
    """Return groups by weight decay and by depth: with "full(d)" a weight n layers below the head has dⁿ of the rate."""
    decay = adaptations.build(recipe.adaptation).decay
    if decay == 1:
        return _by_decay(recipe, trained.values())
    trained_ids = {id(p) for p in trained.values()}
    layers = param_groups_layer_decay(model.trunk.net, recipe.weight_decay, layer_decay=decay)
    groups = [
        {"params": params, "weight_decay": layer["weight_decay"], "lr": recipe.lr * layer["lr_scale"]}
        for layer in layers
        if (params := [p for p in layer["params"] if id(p) in trained_ids])
    ]
    trunk_ids = {id(p) for layer in layers for p in layer["params"]}
    return [*groups, *_by_decay(recipe, [p for p in trained.values() if id(p) not in trunk_ids])]


def _by_decay(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> Groups:
    """Return two groups: weight decay on matrices and kernels, none on norms and biases."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def set_lr(optims: list[Optimizer], scale: float) -> None:
    """Set the learning rate of every group to `scale` times its initial one."""
    for optim in optims:
        for group in optim.param_groups:
            group["lr"] = group["initial_lr"] * scale


def update(optims: list[Optimizer], model: nn.Module, max_norm: float, scaler: GradScaler) -> None:
    """Clip the norm of the gradient if `max_norm` > 0, update the weights and drop the gradients.

    An optimizer whose scaled gradients are not finite skips the step, see `fit.train.loss_scaling`.
    """
    if max_norm:
        for optim in optims:
            scaler.unscale_(optim)
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for optim in optims:
        scaler.step(optim)
        optim.zero_grad(set_to_none=True)
    scaler.update()
