"""Optimisers: AdamW for everything, Muon for the trunk's matrices beside it, or plain Adam as the study has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from mitotype.backbones import adapters
from mitotype.backbones.classifier import Classifier
from mitotype.fit.muon import Muon
from mitotype.fit.recipe import Recipe

NAMES = ("adamw", "muon", "adam")


def build(recipe: Recipe, model: Classifier, dtype: torch.dtype | None = None) -> list[torch.optim.Optimizer]:
    """The optimisers of a recipe over what is trained; every group keeps its full learning rate as `full_lr`.

    adamw   Loshchilov & Hutter, arXiv 1711.05101; weight decay on matrices and kernels only
    muon    see `fit.muon`, for the two-dimensional weights of the trunk, all at one rate; AdamW for all others and the heads
    adam    Kingma & Ba, arXiv 1412.6980, with the decay added to every gradient

    With the adaptation "full(d)" a weight n steps of the trunk below the head learns at dⁿ of the rate. `dtype` is that of
    mixed precision, None for float32.
    """
    learns = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if recipe.optimiser == "adam":
        found: list[torch.optim.Optimizer] = [
            torch.optim.Adam(learns.values(), lr=recipe.lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay)
        ]
        return _remember(found)
    matrices = {
        n: p for n, p in learns.items() if recipe.optimiser == "muon" and n.startswith("trunk.") and p.dim() == 2
    }
    others = {n: p for n, p in learns.items() if n not in matrices}
    found = [torch.optim.AdamW(_groups(recipe, model, others), lr=recipe.lr, betas=(0.9, recipe.beta2), foreach=True)]
    if matrices:
        rate = {"lr": recipe.muon_lr, "weight_decay": recipe.weight_decay}
        found.append(Muon(matrices.values(), **rate, dtype=dtype or torch.float32))
    return _remember(found)


def _groups(recipe: Recipe, model: Classifier, learns: dict[str, nn.Parameter]) -> list[dict[str, Any]]:
    """Groups by decay and, where the rate falls from block to block, by depth."""
    adaptation = adapters.read(recipe.adaptation)
    if not isinstance(adaptation, adapters.Full) or adaptation.decay == 1:
        return _by_decay(recipe, learns.values())
    from timm.optim import param_groups_layer_decay

    mine = {id(p) for p in learns.values()}
    layers = param_groups_layer_decay(model.trunk.net, recipe.weight_decay, layer_decay=adaptation.decay)
    told = [
        {"params": kept, "weight_decay": layer["weight_decay"], "lr": recipe.lr * layer["lr_scale"]}
        for layer in layers
        if (kept := [p for p in layer["params"] if id(p) in mine])
    ]
    inside = {id(p) for layer in layers for p in layer["params"]}
    return [*told, *_by_decay(recipe, [p for p in learns.values() if id(p) not in inside])]


def _by_decay(recipe: Recipe, learns: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels, none on norms and biases."""
    every = list(learns)
    return [
        {"params": [p for p in every if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in every if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _remember(optimisers: list[torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
    return optimisers


def set_rate(optimisers: list[torch.optim.Optimizer], share: float) -> None:
    """Set every group to `share` of its full learning rate."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["full_lr"] * share


def step(optimisers: list[torch.optim.Optimizer], model: nn.Module, clip: float) -> None:
    """Clip the gradient's norm where `clip` > 0, step, and forget the gradients."""
    if clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
