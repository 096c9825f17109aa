"""Average: the exponential moving average of the weights, w̄ ← d·w̄ + (1−d)·w with d = min(decay, (1+t)/(10+t))."""

from __future__ import annotations

import copy

import torch

from mitotype.backbones.classifier import Classifier


class Average:
    """Keeps the averaged classifier beside the trained one. The norms' running statistics are averaged as the weights are."""

    def __init__(self, model: Classifier, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self._pairs = self._floating(model)

    def _floating(self, model: Classifier) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        ours, theirs = self._model.state_dict(), model.state_dict()
        names = [name for name in ours if ours[name].is_floating_point()]
        return [ours[name] for name in names], [theirs[name] for name in names]

    @torch.no_grad()
    def update(self, model: Classifier) -> None:
        """Take one step's weights in. Tensors that are not floating-point (counters) are left at their start."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        ours, theirs = self._pairs
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    def model(self) -> Classifier:
        return self._model
