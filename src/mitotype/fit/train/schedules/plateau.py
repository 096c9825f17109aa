"""Plateau: lower rates when the score on the fold left out no longer rises."""

import math
from dataclasses import dataclass
from typing import ClassVar

from mitotype.core.arguments import argument
from mitotype.fit.train.schedules.schedule import Schedule, ScheduleState, schedules


@schedules.add("plateau")
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
