"""Results of an evaluation: its description and every number, as frozen dataclasses, and their record on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec
import pandas as pd

from mitotype.core import records
from mitotype.core.run_layout import EvaluationRecord
from mitotype.evaluation.checks import Finding
from mitotype.evaluation.experts import Experts
from mitotype.evaluation.interval import Interval
from mitotype.evaluation.published import published_result
from mitotype.scores.decision import Decision
from mitotype.scores.ensemble import Combiner

DECIDED, HALF, SINGLE, ALL_FILES, SINGLE_ALL_FILES = "decided", "half", "single", "all_files", "single_all_files"


@dataclass(frozen=True)
class About:
    """Title, command, day, digests of weights and data, and the ledger of test openings, as the caller gives them.

    `overlaps` and `held_out` are for the checks: which dataset shares slides with which, and what was held out.
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
    """One way to evaluate the same patches: as decided, at 0.5, single members, all files."""

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
    """The number and share of uncertain patches, and the metrics of the certain ones."""

    uncertain: int
    share: float
    certain: dict[str, Interval]


@dataclass(frozen=True)
class Entry:
    """One part of a dataset. `rows` are the decided rows behind the numbers (not part of the JSON)."""

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
        """The dataset's name with the part, unless the name ends with it."""
        return self.dataset if self.dataset.endswith(f"-{self.part}") else f"{self.dataset}, {self.part}"

    def variant(self, key: str) -> Variant | None:
        return next((v for v in self.variants if v.key == key), None)

    @property
    def headline(self) -> Variant:
        return self.variants[0]

    @property
    def files(self) -> int:
        """The number of labelled files, with repeats of an image."""
        return self.all_files.patches

    @property
    def like_for_like(self) -> Variant | None:
        """The variant to compare with published single models: single members at 0.5, over all files; None for one member."""
        return self.variant(SINGLE_ALL_FILES) or self.variant(SINGLE)

    @property
    def all_files(self) -> Variant:
        """The decided variant over all files."""
        return self.variant(ALL_FILES) or self.headline

    def domain_mean(self, metric: str) -> float:
        """Return the mean of a metric over the domains in which it is defined; nan without any."""
        values = [v for v in (d.metrics[metric].value for d in self.domains) if not math.isnan(v)]
        return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The results of one evaluation."""

    about: About
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    combiner: Combiner
    decision: Decision
    members: tuple[str, ...]
    views: tuple[str, ...]
    notes: tuple[str, ...]
    n_boot: int
    seed: int
    level: float
    version: str

    def entry(self, dataset: str, part: str = "test") -> Entry | None:
        return next((e for e in self.entries if e.dataset == dataset and e.part == part), None)

    def to_record(self) -> EvaluationRecord:
        """Return the record of evaluation.json: nan becomes None, with its reason in the same record."""
        settings = {
            "version": self.version,
            "n_boot": self.n_boot,
            "seed": self.seed,
            "level": self.level,
            "combiner": self.combiner,
            "members": self.members,
            "views": self.views,
            "decision": msgspec.structs.replace(self.decision, digests=()),
            "decision_digests": len(self.decision.digests),
        }
        entries = [
            {f.name: getattr(entry, f.name) for f in fields(entry) if f.name != "rows"}
            | {"name": entry.name, "published": published_result(entry.dataset, entry.part, entry.all_files.patches)}
            for entry in self.entries
        ]
        record = {
            "about": self.about,
            "settings": settings,
            "entries": entries,
            "checks": self.findings,
            "notes": self.notes,
        }
        return records.decode(records.encode({"format": 2, **record}), EvaluationRecord, "The evaluation")

    def to_dict(self) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.json.decode(records.encode(self.to_record()))
        return result
