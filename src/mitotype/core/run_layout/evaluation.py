"""evaluation.json: every number of an evaluation, as `evaluation.results` writes it and cards read it."""

from __future__ import annotations

from typing import Any, Literal

from mitotype.core import records
from mitotype.core.records import Count, Format2, Name, Record, Share, Text
from mitotype.core.run_layout.decision import CombinerRecord, DecisionRecord

Number = float | None  # None where it is undefined


class IntervalRecord(Record, frozen=True, kw_only=True):
    """A number with its bounds; `reason` is that of a None among them. See `evaluation.interval`."""

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


Metrics = dict[Name, IntervalRecord]


class VariantRecord(Record, frozen=True, kw_only=True):
    key: Name
    title: Text
    patches: Count
    atypical: Count
    cases: Count
    metrics: Metrics
    members: Count = 1


class GroupRecord(Record, frozen=True, kw_only=True):
    name: Text
    patches: Count
    atypical: Count
    cases: Count
    metrics: Metrics


class ConfusionRecord(Record, frozen=True, kw_only=True):
    tp: Count
    fn: Count
    fp: Count
    tn: Count


class AbstainedRecord(Record, frozen=True, kw_only=True):
    uncertain: Count
    share: Number
    certain: Metrics


class ExpertRecord(Record, frozen=True, kw_only=True):
    expert: Count
    patches: Count
    ties: Count
    absent: Count
    human: IntervalRecord
    model: IntervalRecord


class ExpertsRecord(Record, frozen=True, kw_only=True):
    each: list[ExpertRecord]
    band_low: Number
    band_high: Number
    model_mean: Number
    patches: Count


class PublishedRecord(Record, frozen=True, kw_only=True):
    title: Text
    files: Count
    balanced_accuracy: float
    auroc: float
    net: Text
    auroc_net: Text
    floor_single: float
    floor_balanced_accuracy: float
    floor_auroc: float


class EntryRecord(Record, frozen=True, kw_only=True):
    dataset: Name
    part: Name
    name: Text
    patches: Count
    atypical: Count
    cases: Count
    unlabelled: Count
    within: Text
    variants: list[VariantRecord]
    confusion: ConfusionRecord
    domains: list[GroupRecord]
    agreement: list[GroupRecord]
    pooled: dict[Text, Number | dict[Name, Number]]
    abstained: AbstainedRecord | None
    experts: ExpertsRecord | None
    notes: list[Text]
    published: PublishedRecord | None

    def variant(self, *keys: str) -> VariantRecord | None:
        """Return the first variant that is there among `keys`."""
        by_key = {variant.key: variant for variant in self.variants}
        return next((by_key[key] for key in keys if key in by_key), None)


class FindingRecord(Record, frozen=True, kw_only=True):
    code: Name
    title: Text
    severity: Literal["leak", "warning"]
    text: Text = ""


class AboutRecord(Record, frozen=True, kw_only=True):
    title: Text = ""
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


class EvaluationRecord(Format2, frozen=True, kw_only=True):
    """evaluation.json."""

    about: AboutRecord
    settings: SettingsRecord
    entries: list[EntryRecord]
    checks: list[FindingRecord]
    notes: list[Text]

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
