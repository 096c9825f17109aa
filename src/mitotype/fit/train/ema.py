"""Exponential moving average of the weights: w̄ ← d·w̄ + (1−d)·w with d = min(decay, (1+t)/(10+t))."""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.backbones.adaptations import trained_tensors
from mitotype.backbones.classifier import Classifier


class EMA:
    """Averaged copies (`shadow`) of what is trained only, so that a frozen base is not copied.

    The running statistics of norms are averaged like weights.
    """

    def __init__(self, model: Classifier, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        tensors = dict(trained_tensors(model))
        self.shadow: dict[str, Tensor] = {name: value.detach().clone() for name, value in tensors.items()}
        averaged = [name for name in tensors if tensors[name].is_floating_point()]
        self._pairs = [self.shadow[name] for name in averaged], [tensors[name] for name in averaged]

    @torch.no_grad()
    def update(self) -> None:
        """Average in the weights of one step. Integer tensors (counters) keep their first value."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        shadow, weights = self._pairs
        torch._foreach_lerp_(shadow, weights, 1 - decay)

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Set the averages to those of a checkpoint."""
        for name, value in self.shadow.items():
            value.copy_(state[name])

    def copy_to(self, model: Classifier) -> Classifier:
        """Return the model with the averaged weights."""
        model.load_state_dict(self.shadow, strict=False)
        return model
