"""AdamW, as torch has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from mitotype.backbones.classifier import Classifier
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.optimizers.optimizer import OptimizerChoice, Parameters, optimizers, parameter_groups


@optimizers.add("adamw")
@dataclass(frozen=True)
class AdamW(OptimizerChoice):
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101), with weight decay on matrices and kernels only."""

    def build(
        self, recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None
    ) -> list[Optimizer]:
        groups = parameter_groups(recipe, model, trained)
        return [torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), foreach=True)]
