"""Learning-rate schedules, one file each: the multiplier of the initial learning rates, from the step or from validation scores."""

from mitotype.fit.train.schedules.schedule import Schedule, ScheduleState, schedules

__all__ = ["Schedule", "ScheduleState", "schedules"]
