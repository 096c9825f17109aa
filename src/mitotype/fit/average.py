"""Average: the exponential moving average of the weights, w̄ ← d·w̄ + (1−d)·w with d = min(decay, (1+t)/(10+t))."""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.backbones import adapters
from mitotype.backbones.classifier import Classifier


class Average:
    """Keeps averaged copies of what is trained, and nothing else: a frozen base is held once.

    The norms' running statistics are averaged as the weights are.
    """

    def __init__(self, model: Classifier, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        theirs = dict(adapters.trained(model))
        self.kept: dict[str, Tensor] = {name: value.detach().clone() for name, value in theirs.items()}
        names = [name for name in theirs if theirs[name].is_floating_point()]
        self._pairs = [self.kept[name] for name in names], [theirs[name] for name in names]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step's weights in. Tensors that are not floating-point (counters) are left at their start."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        ours, theirs = self._pairs
        torch._foreach_lerp_(ours, theirs, 1 - decay)

    @torch.no_grad()
    def take(self, state: dict[str, Tensor]) -> None:
        """Take up the averages of a checkpoint."""
        for name, value in self.kept.items():
            value.copy_(state[name])

    def into(self, model: Classifier) -> Classifier:
        """The model with the averaged weights."""
        model.load_state_dict(self.kept, strict=False)
        return model
