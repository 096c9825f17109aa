"""A finished run as the record of a bundle: what it would deploy."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, CombinerRecord, DecisionRecord, names, read_finished_run, read_ood


def describe_run(run_dir: Path) -> BundleRecord:
    """Return what a finished run deploys as the record of a bundle, without files and without what is on the card."""
    run, decision, ood = read_finished_run(run_dir), run_dir / names.DECISION, read_ood(run_dir)
    if not decision.is_file():
        what = f"The run '{run_dir}' has no out-of-fold scores, so no decision was fitted."
        raise UserError(what, fix="use it as init_from of another run")
    has_final_models = bool(run.recipe["n_final_models"])  # trained on every patch; else the fold members are deployed
    members = [path.name for path in names.member_dirs(run_dir) if path.name.startswith("all-") == has_final_models]
    if not members:
        fix = "restore it from a copy, or train again"
        raise UserError(f"The run '{run_dir}' has no members that could be deployed.", fix=fix)
    if ood:
        ood = replace(ood, detectors={name: ood.detectors[name] for name in members if name in ood.detectors})
    return BundleRecord(
        name=run_dir.name,
        members=members,
        combiner=CombinerRecord(),
        tta=run.recipe_text("tta"),
        decision=records.read(decision, DecisionRecord, what="decision"),
        ood=ood,
        run=run,
        files={},
    )
