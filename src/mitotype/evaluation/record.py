"""Evaluation: what was judged and every number of it, as frozen records that turn into JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mitotype.core.files import plain
from mitotype.evaluation.checks import Finding
from mitotype.evaluation.experts import Experts
from mitotype.evaluation.interval import Interval
from mitotype.evaluation.published import published
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import Combine

if TYPE_CHECKING:
    import pandas as pd

DECIDED, HALF, SINGLE, ALL_FILES, SINGLE_ALL_FILES = "decided", "half", "single", "all_files", "single_all_files"


@dataclass(frozen=True)
class About:
    """What the caller knows: the title, the command, the day, digests of weights and data, the ledger of test openings.

    `overlaps` and `held_out` go to the checks: which dataset is known to share slides with which, and what was held out.
    """

    title: str = "Evaluation"
    command: str = ""
    created: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    openings: tuple[str, ...] = ()
    overlaps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Confusion:
    """Counts, atypical positive."""

    tp: int
    fn: int
    fp: int
    tn: int


@dataclass(frozen=True)
class Variant:
    """One way to judge the same patches: as decided, at 0.5, single members, all files."""

    key: str
    title: str
    patches: int
    atypical: int
    cases: int
    metrics: dict[str, Interval]
    members: int = 1


@dataclass(frozen=True)
class Group:
    """Some of the patches: a domain, or those on which the experts agree."""

    name: str
    patches: int
    atypical: int
    cases: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class Abstained:
    """What the band of uncertainty leaves out, and the metrics of what it keeps."""

    uncertain: int
    share: float
    kept: dict[str, Interval]


@dataclass(frozen=True)
class Entry:
    """One dataset's part. `rows` are the judged rows behind the numbers (not part of the JSON)."""

    dataset: str
    part: str
    patches: int
    atypical: int
    cases: int
    unlabelled: int
    within: str
    variants: tuple[Variant, ...]
    confusion: Confusion
    domains: tuple[Group, ...]
    agreement: tuple[Group, ...]
    pooled: dict[str, Any]
    abstained: Abstained | None
    experts: Experts | None
    notes: tuple[str, ...]
    rows: pd.DataFrame = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The dataset's name with the part, where the name does not tell it."""
        return self.dataset if self.dataset.endswith(f"-{self.part}") else f"{self.dataset}, {self.part}"

    def variant(self, key: str) -> Variant | None:
        return next((v for v in self.variants if v.key == key), None)

    @property
    def headline(self) -> Variant:
        return self.variants[0]

    @property
    def files(self) -> int:
        """How many labelled files the entry has, repeats of one picture included."""
        every = self.variant(ALL_FILES)
        return every.patches if every else self.patches

    @property
    def like_for_like(self) -> Variant | None:
        """What stands beside published single models: single members at 0.5, over all files; None for a lone member."""
        return self.variant(SINGLE_ALL_FILES) or self.variant(SINGLE)

    @property
    def all_files(self) -> Variant:
        """The decided variant over all files."""
        return self.variant(ALL_FILES) or self.headline

    def domain_mean(self, metric: str) -> float:
        """The mean of a metric over the domains in which it is defined; nan where it is in none."""
        values = [v for v in (d.metrics[metric].value for d in self.domains) if not math.isnan(v)]
        return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True)
class Evaluation:
    """Everything that one evaluation found. `to_dict` is plain JSON: nan becomes null, each with its reason beside it."""

    about: About
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    combine: Combine
    decision: Decision
    members: tuple[str, ...]
    views: tuple[str, ...]
    notes: tuple[str, ...]
    draws: int
    seed: int
    level: float
    version: str

    def entry(self, dataset: str, part: str = "test") -> Entry | None:
        return next((e for e in self.entries if e.dataset == dataset and e.part == part), None)

    def to_dict(self) -> dict[str, Any]:
        decision = self.decision.to_dict()
        decision["digests"] = len(self.decision.digests)
        return plain(
            {
                "about": _fields(self.about),
                "made": {
                    "version": self.version,
                    "draws": self.draws,
                    "seed": self.seed,
                    "level": self.level,
                    "combine": self.combine.to_dict(),
                    "members": list(self.members),
                    "views": list(self.views),
                    "decision": decision,
                },
                "entries": [
                    _fields(entry)
                    | {"name": entry.name, "published": published(entry.dataset, entry.part, entry.all_files.patches)}
                    for entry in self.entries
                ],
                "checks": [finding.to_dict() for finding in self.findings],
                "notes": list(self.notes),
            }
        )


def _fields(value: Any) -> Any:
    """Records, mappings and sequences as dicts and lists, without the rows."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _fields(getattr(value, name)) for name in value.__dataclass_fields__ if name != "rows"}
    if isinstance(value, Mapping):
        return {str(key): _fields(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fields(item) for item in value]
    return value
