"""A finished run as the record of a bundle: what it would deploy."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from mitotype.core import records
from mitotype.core.run_layout import (
    BundleRecord,
    CombinerRecord,
    DecisionRecord,
    deployed_members,
    names,
    read_finished_run,
    read_ood,
)


def describe_run(run_dir: Path) -> BundleRecord:
    """Return what a finished run deploys as the record of a bundle, without files and without what is on the card."""
    run, ood = read_finished_run(run_dir), read_ood(run_dir)
    members = deployed_members(run_dir, run)
    if ood:
        ood = replace(ood, detectors={name: ood.detectors[name] for name in members if name in ood.detectors})
    return BundleRecord(
        name=run_dir.name,
        members=members,
        combiner=CombinerRecord(),
        tta=run.recipe_text("tta"),
        decision=records.read(run_dir / names.DECISION, DecisionRecord, what="decision"),
        ood=ood,
        run=run,
        files={},
    )
