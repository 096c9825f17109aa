"""log.jsonl: the training log of a run, one line per epoch of a member."""

from __future__ import annotations

from collections.abc import Callable

from mitotype.core.records import Count, Name, Record, Text


class LogLine(Record, frozen=True, kw_only=True, omit_defaults=True, rename={"cache_gb": "keeps_gb", "cached": "kept"}):
    """A line of the log. A member that is solved in one step has one epoch and the loss nan, which is written as null.

    `held_out` is the balanced accuracy on the fold left out. `C` and `stored_patches` are what a probe chose and stored. A line
    on the cache of frozen layers has, in place of a loss, its size, the number of views, and whether it fits in memory.
    """

    cell: Text | None = None
    job: Count | None = None
    jobs: Count | None = None
    member: Name = ""
    epoch: Count | None = None
    epochs: Count | None = None
    loss: float | None = None
    held_out: float | None = None
    C: float | None = None
    stored_patches: Count | None = None
    cache_gb: float | None = None
    views: Count | None = None
    cached: bool | None = None


OnLog = Callable[[LogLine], None]
