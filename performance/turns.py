"""Timings of several things that take turns, so that what else the machine does falls on all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping


def in_turns(timed: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median over the rounds of the seconds that each returns; a round before the first warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, run in timed.items():
            took_s = run()
            if number:
                seconds[name].append(took_s)
    return {name: statistics.median(values) for name, values in seconds.items()}
