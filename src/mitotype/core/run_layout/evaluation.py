"""evaluation.json: every number of an evaluation. `evaluation` computes these records, and cards read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from mitotype.core import records
from mitotype.core.records import Count, Format2, Name, Record, Share, Text
from mitotype.core.run_layout.decision import CombinerRecord, DecisionRecord

Number = float | None  # None where it is undefined
Severity = Literal["leak", "warning"]


class Interval(Record, frozen=True):
    """`value` with the bounds `low` and `high` of a t interval at `level` over `groups` cases (`by`).

    `n_boot` replicates were defined; `n_undefined` more had one class only and are left out, so that the bounds are
    conditional on both classes. Bounds that are None have a `reason`, as has a value that is None. `member_sd` is the SD
    between members if the value is a mean over members; else None.
    """

    value: Number
    low: Number = None
    high: Number = None
    by: Name = "case_id"
    groups: Count = 0
    n_boot: Count = 0
    n_undefined: Count = 0
    level: Share = 0.95
    reason: Text = ""
    member_sd: Number = None


Metrics = dict[Name, Interval]


class Variant(Record, frozen=True):
    """One way to evaluate the same patches: as decided, at 0.5, single members, all files."""

    key: Name
    title: Text
    patches: Count
    atypical: Count
    cases: Count
    metrics: Metrics
    members: Count = 1


class Group(Record, frozen=True):
    """Some of the patches: a domain, or those on which the experts agree."""

    name: Text
    patches: Count
    atypical: Count
    cases: Count
    metrics: Metrics


class Confusion(Record, frozen=True):
    """Counts, atypical positive."""

    tp: Count
    fn: Count
    fp: Count
    tn: Count


class Abstained(Record, frozen=True):
    """The number and share of uncertain patches, and the metrics of the certain ones."""

    uncertain: Count
    share: Number
    certain: Metrics


class ExpertScore(Record, frozen=True):
    """One expert (`human`) and the model on the same `patches` against the same majority of the others.

    `ties` patches are left out because the others tie, `absent` because this expert has not voted.
    """

    expert: Count
    patches: Count
    ties: Count
    absent: Count
    human: Interval
    model: Interval


class Experts(Record, frozen=True):
    """The band of the experts: from the mean over ordered pairs (one expert against another) to that against majorities.

    Leaving ties out favors experts and model alike; pairs are harsher than majorities. An expert is plausibly between the two
    means. Neither is on the scale of a balanced accuracy against the full majority, in which each expert's own vote counts.
    """

    each: list[ExpertScore]
    band_low: Number
    band_high: Number
    model_mean: Number
    patches: Count


class PublishedResult(Record, frozen=True, omit_defaults=True):
    """The published best and the baseline (`floor_*`) on one test set: balanced accuracy at 0.5 and AUROC, over all `files`.

    `floor_single` is the mean of five single models, as the published best is; the others are of the mean of the five.
    `source` and `floor_source` are the origin of these numbers.
    """

    title: Text
    files: Count
    balanced_accuracy: float
    auroc: float
    net: Text
    auroc_net: Text
    floor_single: Number = None
    floor_balanced_accuracy: Number = None
    floor_auroc: Number = None
    source: Text = ""
    floor_source: Text = ""


class EntryRecord(Record, frozen=True, kw_only=True):
    """One part of a dataset. `name` is that of the dataset with the part; a case is resampled `within` its domain or dataset."""

    dataset: Name
    part: Name
    name: Text
    patches: Count
    atypical: Count
    cases: Count
    unlabelled: Count
    within: Text
    variants: list[Variant]
    confusion: Confusion
    domains: list[Group]
    agreement: list[Group]
    pooled: dict[Text, Number | dict[Name, Number]]
    abstained: Abstained | None
    experts: Experts | None
    notes: list[Text]
    published: PublishedResult | None

    def variant(self, *keys: str) -> Variant | None:
        """Return the first variant that is there among `keys`."""
        by_key = {variant.key: variant for variant in self.variants}
        return next((by_key[key] for key in keys if key in by_key), None)


class Finding(Record, frozen=True):
    """The result of a check: `text` is what is wrong; empty if nothing is."""

    code: Name
    title: Text
    severity: Severity
    text: Text = ""


class About(Record, frozen=True, kw_only=True):
    """Title, command, day, digests of weights and data, and the ledger of test openings, as the caller gives them.

    `overlaps` and `held_out` are for the checks: which dataset shares slides with which, and what was held out.
    """

    title: Text = "Evaluation"
    command: Text = ""
    created: Text = ""
    digests: dict[Name, Name] = {}
    openings: list[Text] = []
    overlaps: dict[Name, list[Name]] = {}
    held_out: list[Name] = []


class SettingsRecord(Record, frozen=True, kw_only=True):
    """How the numbers were made. The decision is without its digests; `decision_digests` is their number."""

    version: Name
    n_boot: Count
    seed: int
    level: Share
    combiner: CombinerRecord
    members: list[Name]
    views: list[Name]
    decision: DecisionRecord
    decision_digests: Count = 0


class MetricRecord(Record, frozen=True):
    """A metric of the file: its title in running text, its head over a column, and the tables that show it."""

    name: Name
    title: Text
    head: Text
    tables: list[Name]


class EvaluationRecord(Format2, frozen=True, kw_only=True):
    """evaluation.json. `metrics` are in the order of the columns; a file of 0.1.0 has none."""

    about: About
    settings: SettingsRecord
    entries: Sequence[EntryRecord]
    checks: list[Finding]
    notes: list[Text]
    metrics: list[MetricRecord] | UnsetType = UNSET  # absent where 0.1.0 wrote none: the digest of a bundle covers it

    def metrics_of(self, table: str) -> list[MetricRecord]:
        """Return the metrics of a table ("set", "group", "calibration"); a file without titles shows all by their names."""
        names = self.entries[0].variants[0].metrics if self.entries else {}
        unnamed = [MetricRecord(name, name.replace("_", " "), name, ["set", "group"]) for name in names]
        known = unnamed if isinstance(self.metrics, UnsetType) else self.metrics
        return [metric for metric in known if table in metric.tables]

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        value = records.renamed(value, {"made": "settings"})
        settings = records.renamed(value["settings"], {"draws": "n_boot", "combine": "combiner"})
        decision = DecisionRecord.upgrade(settings["decision"])
        settings["decision_digests"] = decision.pop("digests", 0)
        value["settings"] = settings | {"decision": decision}
        value["entries"] = [_upgrade_entry(entry) for entry in value["entries"]]
        return value


def _upgrade_entry(entry: dict[str, Any]) -> dict[str, Any]:
    entry = _upgrade_intervals(entry)
    if entry["abstained"]:
        entry["abstained"] = records.renamed(entry["abstained"], {"kept": "certain"})
    if entry["experts"]:
        each = [records.renamed(expert, {"people": "human"}) for expert in entry["experts"]["each"]]
        entry["experts"] = {**entry["experts"], "each": each}
    return entry


def _upgrade_intervals(value: Any) -> Any:
    if isinstance(value, list):
        return [_upgrade_intervals(item) for item in value]
    if not isinstance(value, dict):
        return value
    if {"value", "low", "high", "by"} <= value.keys():
        return records.renamed(value, {"draws": "n_boot", "left_out": "n_undefined", "sd": "member_sd"})
    return {key: _upgrade_intervals(item) for key, item in value.items()}
