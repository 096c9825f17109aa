"""The keys of log.jsonl are those of every version; a line is read as it was written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mitotype.core import records
from mitotype.core.run_layout import LogLine

LINES = [
    (
        LogLine(job=1, jobs=3, member="fold1-seed0", epoch=1, epochs=40, loss=0.5, held_out=0.75),
        {"job": 1, "jobs": 3, "member": "fold1-seed0", "epoch": 1, "epochs": 40, "loss": 0.5, "held_out": 0.75},
    ),
    (
        LogLine(cell="a, knn", job=1, jobs=1, member="m", epoch=1, epochs=1, loss=math.nan, stored_patches=20),
        {"cell": "a, knn", "job": 1, "jobs": 1, "member": "m", "epoch": 1, "epochs": 1, "loss": None, "stored_patches": 20},
    ),
    (
        LogLine(member="m", epochs=2, cache_gb=0.5, views=8, cached=False),
        {"member": "m", "epochs": 2, "keeps_gb": 0.5, "views": 8, "kept": False},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "document"), LINES)
def test_a_line_has_the_keys_of_every_version(line: LogLine, document: dict[str, object], tmp_path: Path) -> None:
    records.append(tmp_path / "log.jsonl", line)
    (raw,) = (tmp_path / "log.jsonl").read_bytes().splitlines()
    assert list(json.loads(raw).items()) == list(document.items())
    assert records.to_builtins(records.decode(raw, LogLine, "line")) == {
        k: v for k, v in document.items() if v is not None
    }
