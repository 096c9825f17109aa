"""A schedule: a straight line down.

mitotype --plugin schedule.py train default --data DATA --set "schedule=linear(0.1)"
"""

from dataclasses import dataclass

from mitotype.core.arguments import argument
from mitotype.fit.train.schedules.schedule import Schedule, ScheduleState, schedules


@schedules.add("linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line from 1 to `end`."""

    end: float = argument(0.0, low=0, high=1, meaning="multiplier of the learning rates at the end")

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        steps = state.epochs * state.steps_per_epoch - warmup_steps
        share = min(1.0, (state.step - warmup_steps) / max(1, steps))
        return 1 + share * (self.end - 1)
