"""openings.jsonl: the ledger of a run, one line for each test set that was scored."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from mitotype.core import files, records
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


def append_opening(folder: Path, opening: Opening) -> None:
    """Add a line to the ledger of `folder`."""
    records.append(folder / names.LEDGER, opening)


def read_ledger(folder: Path) -> list[Opening]:
    """Return the openings of a folder, oldest first; none where there is no ledger."""
    path = folder / names.LEDGER
    if not path.is_file():
        return []
    lines = files.read_bytes(path, what="ledger", max_bytes=records.MAX_BYTES).splitlines()
    return [
        records.decode(line, Opening, f"Line {n} of the ledger '{path}'")
        for n, line in enumerate(lines, 1)
        if line.strip()
    ]


def now() -> str:
    """Return the time in UTC to the second, as in 2026-01-31T12:00:00+00:00."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
