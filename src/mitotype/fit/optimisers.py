"""Optimisers: AdamW for everything, or Muon for the trunk's matrices beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mitotype.backbones.classifier import Classifier
from mitotype.fit.recipe import Recipe


def build(recipe: Recipe, model: Classifier) -> list[torch.optim.Optimizer]:
    """The optimisers of a recipe; every group keeps its full learning rate as `full_lr`.

    adamw   Loshchilov & Hutter, arXiv 1711.05101; weight decay on matrices and kernels only
    muon    the momentum of a matrix, made orthogonal by five Newton-Schulz steps (Jordan et al. 2024; Liu et al., arXiv
            2502.16982), for the two-dimensional weights of the trunk; AdamW for all others and for the heads
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {
        n: p for n, p in trained.items() if recipe.optimiser == "muon" and n.startswith("trunk.") and p.dim() == 2
    }
    others = [p for n, p in trained.items() if n not in matrices]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
    ]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), foreach=True)
    ]
    if matrices:
        found.append(torch.optim.Muon(list(matrices.values()), lr=recipe.muon_lr, weight_decay=recipe.weight_decay))
    for optimiser in found:
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
    return found


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
