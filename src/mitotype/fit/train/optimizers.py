"""Optimizers of a recipe, each a list of torch optimizers over everything that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import Optimizer

from mitotype.backbones import adapters
from mitotype.backbones.classifier import Classifier
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.muon import Muon

Parameters = dict[str, nn.Parameter]
Groups = list[dict[str, Any]]


def adam(recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None) -> list[Optimizer]:
    """Adam (Kingma & Ba, arXiv 1412.6980), with the weight decay added to every gradient."""
    betas = (0.9, recipe.beta2)
    return [torch.optim.Adam(trained.values(), lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay)]


def adamw(recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None) -> list[Optimizer]:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101), with weight decay on matrices and kernels only."""
    groups = _groups(recipe, model, trained)
    return [torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), foreach=True)]


def muon(recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None) -> list[Optimizer]:
    """Muon for the two-dimensional weights of the trunk, AdamW for all others and the heads."""
    matrices = {name: p for name, p in trained.items() if name.startswith("trunk.") and p.dim() == 2}
    optims = adamw(recipe, model, {name: p for name, p in trained.items() if name not in matrices}, dtype)
    if matrices:
        options = {"lr": recipe.muon_lr, "weight_decay": recipe.weight_decay}
        optims.append(Muon(matrices.values(), **options, dtype=dtype or torch.float32))
    return optims


OPTIMIZERS: dict[str, Callable[..., list[Optimizer]]] = {"adam": adam, "adamw": adamw, "muon": muon}


def build(recipe: Recipe, model: Classifier, dtype: torch.dtype | None = None) -> list[Optimizer]:
    """Return the optimizers of a recipe; every parameter group has its learning rate as `initial_lr` too.

    With the adaptation "full(d)" a weight n layers below the head has dⁿ of the rate. `dtype` is that of mixed precision,
    None for float32.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optims = OPTIMIZERS[recipe.optimizer](recipe, model, trained, dtype)
    for optim in optims:
        for group in optim.param_groups:
            group["initial_lr"] = group["lr"]
    return optims


def _groups(recipe: Recipe, model: Classifier, trained: Parameters) -> Groups:
    """Return groups by weight decay and, where the learning rate falls from block to block, by depth."""
    adaptation = adapters.parse(recipe.adaptation)
    if not isinstance(adaptation, adapters.Full) or adaptation.decay == 1:
        return _by_decay(recipe, trained.values())
    trained_ids = {id(p) for p in trained.values()}
    layers = param_groups_layer_decay(model.trunk.net, recipe.weight_decay, layer_decay=adaptation.decay)
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


def step(optims: list[Optimizer], model: nn.Module, max_norm: float) -> None:
    """Clip the norm of the gradient if `max_norm` > 0, update the weights and drop the gradients."""
    if max_norm:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for optim in optims:
        optim.step()
        optim.zero_grad(set_to_none=True)
