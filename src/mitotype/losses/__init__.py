"""Losses: terms of an objective, one file per term. An objective is a spec such as "soft_bce + 0.3 * sub_label"."""

from mitotype.losses.objective import Objective
from mitotype.losses.term import Batch, Loss, LossContext, Outputs, TargetSource, Term, losses

__all__ = ["Batch", "Loss", "LossContext", "Objective", "Outputs", "TargetSource", "Term", "losses"]
