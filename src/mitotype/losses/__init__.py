"""Losses: terms of an objective, one file per term. An objective is a spec such as "soft_bce + 0.3 * sub_label"."""

from mitotype.losses.objective import Batch, Objective, Term, losses

__all__ = ["Batch", "Objective", "Term", "losses"]
