"""Muon (Jordan et al. 2024; Liu et al., arXiv 2502.16982): each step is the orthogonalized momentum of a matrix.

torch.optim.Muon multiplies in bfloat16 on every machine; without bf16 units that takes some thirty times as long as float32.
Here the dtype is an option, and matrices of one shape are multiplied together.

Shapes: K matrices of M × N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mitotype.backbones.classifier import Classifier
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.optimizers.adamw import AdamW
from mitotype.fit.train.optimizers.optimizer import OptimizerChoice, Parameters, optimizers

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, chosen by Jordan for the steepest slope at 0
ITERATIONS = 5
MOMENTUM = 0.95


def orthogonalize(matrix_KMN: Tensor, dtype: torch.dtype) -> Tensor:
    """Return matrices with singular values near 1: X ← aX + (bA + cA²)X, A = XXᵀ, five times from X / |X|."""
    a, b, c = COEFFICIENTS
    is_tall = matrix_KMN.shape[1] > matrix_KMN.shape[2]
    x = (matrix_KMN.mT if is_tall else matrix_KMN).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Muon(Optimizer):
    """v ← μv + (1−μ)g,  u = (1−μ)g + μv,  w ← (1 − lr·decay)·w − lr·√max(1, rows / columns)·orthogonalize(u)."""

    def __init__(self, matrices: Iterable[nn.Parameter], *, lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        by_shape = sorted(matrices, key=lambda p: tuple(p.shape))
        super().__init__(by_shape, {"lr": lr, "weight_decay": weight_decay, "momentum": MOMENTUM})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for shape, matrices in groupby(parameters, key=lambda p: tuple(p.shape)):
                self._step(list(matrices), shape, group)

    def _step(self, matrices: list[Tensor], shape: tuple[int, ...], group: dict[str, Any]) -> None:
        grads = [p.grad for p in matrices if p.grad is not None]
        for p in matrices:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in matrices]
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        update_KMN = orthogonalize(torch.stack(torch._foreach_lerp(grads, momenta, group["momentum"])), self.dtype)
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        lr = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
        torch._foreach_add_(matrices, list(update_KMN.to(matrices[0].dtype).unbind()), alpha=-lr)


@optimizers.add("muon")
@dataclass(frozen=True)
class MuonAndAdamW(OptimizerChoice):
    """Muon for the two-dimensional weights of the trunk, AdamW for all others and the heads."""

    def build(
        self, recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None
    ) -> list[Optimizer]:
        matrices = {name: p for name, p in trained.items() if name.startswith("trunk.") and p.dim() == 2}
        others = {name: p for name, p in trained.items() if name not in matrices}
        optims = AdamW().build(recipe, model, others, dtype)
        if matrices:
            options = {"lr": recipe.muon_lr, "weight_decay": recipe.weight_decay}
            optims.append(Muon(matrices.values(), **options, dtype=dtype or torch.float32))
        return optims
