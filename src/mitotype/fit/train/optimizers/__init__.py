"""Optimizers of a recipe, one file each; each is a list of torch optimizers over everything that is trained."""

from mitotype.fit.train.optimizers.optimizer import (
    OptimizerChoice,
    Parameters,
    build_optimizers,
    optimizers,
    set_lr,
    update,
)

__all__ = ["OptimizerChoice", "Parameters", "build_optimizers", "optimizers", "set_lr", "update"]
