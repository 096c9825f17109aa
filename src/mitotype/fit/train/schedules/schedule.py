"""Schedule: the base class, the position in training that it depends on, and the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mitotype.core.registry import Registry


@dataclass(frozen=True)
class ScheduleState:
    """The position in training. `val_scores` are the balanced accuracies on the fold left out, one per finished epoch."""

    step: int
    steps_per_epoch: int
    epochs: int
    warmup_epochs: float
    val_scores: Sequence[float] = ()

    @property
    def progress(self) -> float:
        """The share of the steps that are done."""
        return self.step / (self.epochs * self.steps_per_epoch)


class Schedule:
    """A linear warm-up over `warmup_epochs`, then `after_warmup`.

    A frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments.
    """

    needs_validation: ClassVar[bool] = False

    def lr_scale(self, state: ScheduleState) -> float:
        """Return the multiplier of the initial learning rates."""
        warmup_steps = state.warmup_epochs * state.steps_per_epoch
        return (state.step + 1) / warmup_steps if state.step < warmup_steps else self.after_warmup(state, warmup_steps)

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        raise NotImplementedError


schedules: Registry[type[Schedule]] = Registry("schedule", "schedules", "mitotype.fit.train.schedules")
