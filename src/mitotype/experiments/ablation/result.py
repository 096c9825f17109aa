"""The records of an ablation (ablation.json, effects.json) and its result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mitotype.core.records import Count, Digest, Format2, Name, Record, Text
from mitotype.core.run_layout.evaluation import Interval
from mitotype.core.run_layout.run import RecipeFields
from mitotype.experiments.ablation.effects import Effect, Level


class AblationRecord(Format2, frozen=True, kw_only=True):
    """ablation.json. `recipes` are those of the runs: one, or the members of an ensemble.

    `is_on` has a row for every screening run and a column for every ingredient, then unused columns.
    """

    name: Name
    recipes: Annotated[list[RecipeFields], Meta(min_length=1)]
    ingredients: list[Name]
    is_on: list[list[bool]]
    folds: list[Count]
    strongest: Count
    seeds: Count
    digest: Digest
    sources: list[Text]
    started: Name


@dataclass(frozen=True)
class AblationResult:
    """The effects of an ablation: by screening, confirmed, and of ways to combine the members of the complete recipe, with what
    that reaches. `untrained` are the fits that learned nothing, RUN/MEMBER, among `n_fits`."""

    record: AblationRecord
    machine: str
    screened: Sequence[Effect]
    n_fits: int
    untrained: Sequence[str] = ()
    confirmed: Sequence[Effect] = ()
    combined: Sequence[Effect] = ()
    levels: Sequence[Level] = ()


class EffectRecord(Record, frozen=True):
    name: Name
    difference: dict[Name, Interval]
    noise: dict[Name, float | None]


class LevelRecord(Record, frozen=True):
    name: Name
    value: dict[Name, Interval]


class EffectsRecord(Format2, frozen=True, kw_only=True):
    """effects.json: value with an ingredient minus value without it, by metric, and the values of the complete recipe."""

    screened: list[EffectRecord]
    confirmed: list[EffectRecord]
    combined: list[EffectRecord]
    levels: list[LevelRecord]
    untrained: Sequence[Text] = ()


def to_record(result: AblationResult) -> EffectsRecord:
    def convert(effects: Sequence[Effect]) -> list[EffectRecord]:
        return [EffectRecord(e.name, dict(e.difference), {k: _finite(v) for k, v in e.noise.items()}) for e in effects]

    return EffectsRecord(
        screened=convert(result.screened),
        confirmed=convert(result.confirmed),
        combined=convert(result.combined),
        levels=[LevelRecord(level.name, dict(level.value)) for level in result.levels],
        untrained=tuple(result.untrained),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
