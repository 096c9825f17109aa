"""From a bundle to a bundle with the same members and another decision."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from mitotype.core import files, outputs, records
from mitotype.core.folder_lock import remove_lock
from mitotype.core.run_layout import (
    BundleRecord,
    DecisionRecord,
    LocalLabelsRecord,
    bundle_digest,
    graph_digest,
    names,
    read_bundle,
)
from mitotype.deploy.card import render_card

NOTES = re.compile(
    r"^## How choices were made\n\n(.*?)(?=^## (?:Recipe|Openings of test sets)$|\Z)", re.MULTILINE | re.DOTALL
)


def write_adapted(
    bundle_dir: Path, out: Path, decision: DecisionRecord, local: LocalLabelsRecord, *, name: str
) -> Path:
    """Write a copy of a bundle with another decision into `out`, without the evaluations and operating points of the old one.

    Its graph is copied too: raw logits are read from it. What it has of the old decision is for other programs.
    """
    with outputs.claimed(out, names.BUNDLE_FILES, inputs=[bundle_dir]):
        before = read_bundle(bundle_dir)
        notes = NOTES.search((bundle_dir / names.CARD).read_text(encoding="utf-8"))
        record: BundleRecord = replace(
            before,
            format=2,
            name=name or f"{before.name}-adapted"[:200],
            decision=decision,
            local_labels=local,
            test=None,
            out_of_fold=None,
            operating=UNSET,
            graph_digest=(before.graph_digest or graph_digest(before)) if names.GRAPH in before.files else UNSET,
        )
        for path in before.files:
            if path != names.CARD:
                files.copy(bundle_dir / path, out / path)
        files.write_text(out / names.CARD, render_card(record, notes[1] if notes else ""))
        record = replace(record, files={path: files.sha256(out / path) for path in before.files})
        records.write(out / names.BUNDLE, replace(record, digest=bundle_digest(record)))  # last: it makes it a bundle
        remove_lock(out)
    return out
