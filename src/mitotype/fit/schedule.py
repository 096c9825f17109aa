"""Schedule: the share of the full learning rate at a step, from the step alone or from how held-out patches are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mitotype.core import sentence
from mitotype.core.mistakes import Mistake

FORM = "cosine, constant, plateau(factor, epochs to wait, smallest share)"


@dataclass(frozen=True)
class Place:
    """Where training stands. `held_out` are the balanced accuracies on the patches left out, one per epoch that is done."""

    step: int
    steps_per_epoch: int
    epochs: int
    warmup_epochs: float
    held_out: Sequence[float] = ()


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up over `warmup_epochs`, then what `kind` says.

    cosine     a half cosine to 0
    constant   1
    plateau    times `factor` whenever `wait` + 1 epochs brought no better held-out balanced accuracy, not below `least`
    """

    kind: str = "cosine"
    factor: float = 0.5
    wait: int = 3
    least: float = 0.002

    @property
    def looks(self) -> bool:
        """Whether it needs the held-out score of every epoch."""
        return self.kind == "plateau"

    def share(self, place: Place) -> float:
        warm = place.warmup_epochs * place.steps_per_epoch
        if place.step < warm:
            return (place.step + 1) / warm
        if self.kind == "constant":
            return 1.0
        if self.kind == "plateau":
            return self._plateau(place.held_out)
        done = (place.step - warm) / max(1, place.epochs * place.steps_per_epoch - warm)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _plateau(self, held_out: Sequence[float]) -> float:
        """As torch's ReduceLROnPlateau(mode="max", threshold=1e-4, relative) with the same numbers."""
        best, bad, share = -math.inf, 0, 1.0
        for score in held_out:
            better = math.isinf(best) or score > best * (1 + 1e-4)
            best, bad = (score, 0) if better else (best, bad + 1)
            if bad > self.wait:
                share, bad = max(share * self.factor, self.least), 0
        return share


def read(text: str) -> Schedule:
    """The schedule that a sentence names. Raises a Mistake for an unknown one."""
    steps = sentence.pipeline(text)
    numbers = steps[0].args if len(steps) == 1 else ()
    known = {"cosine": 0, "constant": 0, "plateau": 3}
    if len(steps) != 1 or steps[0].options or len(numbers) > known.get(steps[0].name, -1):
        raise Mistake(f"No schedule reads '{text[:60]}'.", allowed=FORM)
    if any(isinstance(n, str | tuple) or n < 0 for n in numbers):
        raise Mistake(f"The schedule '{text[:60]}' needs numbers of 0 and more.", allowed=FORM)
    given = dict(
        zip(("factor", "wait", "least"), (float(n) for n in numbers if not isinstance(n, str | tuple)), strict=False)
    )
    told: dict[str, float] = {"factor": 0.5, "wait": 3, "least": 0.002, **given}
    return Schedule(steps[0].name, told["factor"], int(told["wait"]), told["least"])
