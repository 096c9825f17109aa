"""Adam, as torch has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from mitotype.backbones.classifier import Classifier
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.optimizers.optimizer import OptimizerChoice, Parameters, optimizers


@optimizers.add("adam")
@dataclass(frozen=True)
class Adam(OptimizerChoice):
    """Adam (Kingma & Ba, arXiv 1412.6980), with the weight decay added to every gradient."""

    def build(
        self, recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None
    ) -> list[Optimizer]:
        betas = (0.9, recipe.beta2)
        return [torch.optim.Adam(trained.values(), lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay)]
