"""Constant: no change after the warm-up."""

from dataclasses import dataclass

from mitotype.fit.train.schedules.schedule import Schedule, ScheduleState, schedules


@schedules.add("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """Always 1."""

    def after_warmup(self, state: ScheduleState, warmup_steps: float) -> float:
        return 1.0
