"""Muon (Jordan et al. 2024; Liu et al., arXiv 2502.16982): the momentum of a matrix, made orthogonal, is the step.

torch.optim.Muon multiplies in bfloat16 whatever the machine; on processors without bf16 units that costs some thirty times
the float32 product. Here the dtype is a choice, and matrices of one shape are multiplied together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, chosen by Jordan for the steepest slope at 0
ITERATIONS = 5


def orthogonal(matrix_KMN: Tensor, dtype: torch.dtype) -> Tensor:
    """Every matrix with its singular values brought near 1: X ← aX + (bA + cA²)X, A = XXᵀ, five times from X / |X|."""
    a, b, c = COEFFICIENTS
    tall = matrix_KMN.shape[1] > matrix_KMN.shape[2]
    x = (matrix_KMN.mT if tall else matrix_KMN).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """v ← μv + (1−μ)g,  u = (1−μ)g + μv,  w ← (1 − lr·decay)·w − lr·√max(1, rows / columns)·orthogonal(u)."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        dtype: torch.dtype,
        momentum: float = 0.95,
    ) -> None:
        kept = sorted(matrices, key=lambda p: tuple(p.shape))
        super().__init__(kept, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            learns = [p for p in group["params"] if p.grad is not None]
            for shape, several in groupby(learns, key=lambda p: tuple(p.shape)):
                self._step(list(several), shape, group)

    def _step(self, several: list[Tensor], shape: tuple[int, ...], group: dict[str, Any]) -> None:
        grads = [p.grad for p in several if p.grad is not None]
        for p in several:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in several]
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        update_KMN = orthogonal(torch.stack(torch._foreach_lerp(grads, momenta, group["momentum"])), self.dtype)
        torch._foreach_mul_(several, 1 - group["lr"] * group["weight_decay"])
        rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
        torch._foreach_add_(several, list(update_KMN.to(several[0].dtype).unbind()), alpha=-rate)
