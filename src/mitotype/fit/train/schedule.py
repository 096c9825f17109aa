"""Learning-rate schedules: the multiplier of the initial learning rates, from the step or from validation scores alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mitotype.core import arguments
from mitotype.core.arguments import argument


@dataclass(frozen=True)
class ScheduleState:
    """The position in training. `val_scores` are the balanced accuracies on the fold left out, one per finished epoch."""

    step: int
    steps_per_epoch: int
    epochs: int
    warmup_epochs: float
    val_scores: Sequence[float] = ()


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up over `warmup_epochs`, then `after_warmup`."""

    needs_validation: ClassVar[bool] = False

    def lr_scale(self, state: ScheduleState) -> float:
        warmup_steps = state.warmup_epochs * state.steps_per_epoch
        return (state.step + 1) / warmup_steps if state.step < warmup_steps else self.after_warmup(state, warmup_steps)

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 to 0."""

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        done = (state.step - warmup_steps) / max(1, state.epochs * state.steps_per_epoch - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclass(frozen=True)
class Constant(Schedule):
    """Always 1."""

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Plateau(Schedule):
    """As torch's ReduceLROnPlateau(mode="max", threshold=1e-4, relative): multiplied by `factor` after a plateau."""

    needs_validation: ClassVar[bool] = True

    factor: float = argument(0.5, low=0, high=1, meaning="multiplier after each plateau")
    patience: int = argument(3, low=0, unit="epochs", meaning="epochs without a better score that are tolerated")
    min_scale: float = argument(0.002, low=0, high=1, meaning="smallest multiplier of the initial learning rate")

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        best, bad_epochs, scale = -math.inf, 0, 1.0
        for score in state.val_scores:
            is_better = math.isinf(best) or score > best * (1 + 1e-4)
            best, bad_epochs = (score, 0) if is_better else (best, bad_epochs + 1)
            if bad_epochs > self.patience:
                scale, bad_epochs = max(scale * self.factor, self.min_scale), 0
        return scale


SCHEDULES: dict[str, type[Schedule]] = {"cosine": Cosine, "constant": Constant, "plateau": Plateau}


def build(text: str) -> Schedule:
    """Return the schedule of a spec such as "plateau(0.5, 3)". Raises a UserError for an invalid one."""
    return arguments.build_one(text, SCHEDULES, "schedule", "mitotype train --help")
