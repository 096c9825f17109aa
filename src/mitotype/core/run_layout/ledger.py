"""openings.jsonl: the ledger of a run, one line for each test set that was scored."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec

from mitotype.core import records
from mitotype.core.records import Count, Digest, Name, Record, Text
from mitotype.core.run_layout import names


class Opening(Record, frozen=True, kw_only=True):
    """One opening of a test set: when, what was scored, which data. `digest` is that of all its images."""

    date: Name
    model: Text
    dataset: Name
    patches: Count
    digest: Digest

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        return records.renamed(value, {"what": "model"})

    def __str__(self) -> str:
        return f"{self.date}: {self.dataset}, {self.patches} patches, digest {self.digest}"


def append_opening(folder: Path, opening: Opening, *, model_finished: str = "") -> None:
    """Add a line to the ledger of `folder`, unless it has one of the same model, which was `model_finished` before, and images.

    So a command that is repeated after a kill opens nothing twice, and a model that was trained again does.
    """
    undated = msgspec.structs.replace(opening, date="-")
    for stored in read_ledger(folder):
        if stored.date >= model_finished and msgspec.structs.replace(stored, date="-") == undated:
            return
    records.append(folder / names.LEDGER, opening)


def read_ledger(folder: Path) -> list[Opening]:
    """Return the openings of a folder, oldest first; none where there is no ledger."""
    return records.read_lines(folder / names.LEDGER, Opening, what="ledger")


def now() -> str:
    """Return the time in UTC to the second, as in 2026-01-31T12:00:00+00:00."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
