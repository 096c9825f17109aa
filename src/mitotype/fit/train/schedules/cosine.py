"""Cosine: half a cosine to 0."""

import math
from dataclasses import dataclass

from mitotype.fit.train.schedules.schedule import Schedule, ScheduleState, schedules


@schedules.add("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 to 0."""

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        done = (state.step - warmup_steps) / max(1, state.epochs * state.steps_per_epoch - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
