"""An optimizer: SGD with momentum.

mitotype --plugin optimizer.py train default --data DATA --set "optimizer=sgd(0.9)" lr=0.01
"""

from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from mitotype.backbones.classifier import Classifier
from mitotype.core.arguments import argument
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.optimizers.optimizer import OptimizerChoice, Parameters, optimizers, parameter_groups


@optimizers.add("sgd")
@dataclass(frozen=True)
class Sgd(OptimizerChoice):
    """Stochastic gradient descent with Nesterov momentum; the weight decay is that of the recipe."""

    momentum: float = argument(0.9, low=0.01, high=0.999, meaning="decay of the running gradient")

    def build(
        self, recipe: Recipe, model: Classifier, trained: Parameters, dtype: torch.dtype | None
    ) -> list[Optimizer]:
        groups = parameter_groups(recipe, model, trained)
        return [torch.optim.SGD(groups, lr=recipe.lr, momentum=self.momentum, nesterov=True)]
