"""What a finished run or ensemble deploys, as the record of a bundle."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import (
    BundleRecord,
    CombinerRecord,
    DecisionRecord,
    deployed_members,
    names,
    read_ensemble,
    read_finished_run,
    read_ood,
)
from mitotype.scores.run_ensemble import check_source


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


def describe_ensemble(folder: Path) -> tuple[BundleRecord, dict[str, Path]]:
    """Return the same of an ensemble, and the folders of its members, which are called SOURCE+MEMBER.

    The weight of a run is divided among its members. Out-of-distribution detectors are fitted per run and left out. Raises a
    UserError for a combiner without coefficients.
    """
    ensemble = read_ensemble(folder)
    if not ensemble.combiner.weights:
        what = f"The combiner of '{folder}', {ensemble.rule}, has no coefficients that a bundle could store."
        raise UserError(what, fix="make an ensemble with another combiner: mean, weights, stack or greedy")
    dirs: dict[str, Path] = {}
    weights: dict[str, float] = {}
    tta: dict[str, str] = {}
    for source in ensemble.sources:
        run_dir = check_source(folder, ensemble, source)
        run = read_finished_run(run_dir)
        members = deployed_members(run_dir, run)
        weight = ensemble.combiner.weights.get(source.name, 0.0)
        for member in members if weight else ():
            name = f"{source.name}+{member}"
            dirs[name] = names.member_dir(run_dir, member)
            weights[name], tta[name] = weight / len(members), run.recipe_text("tta")
    record = BundleRecord(
        name=folder.resolve().name,
        members=list(dirs),
        combiner=CombinerRecord("weighted", weights=weights, intercept=ensemble.combiner.intercept),
        tta=next(iter(tta.values())),
        member_tta=tta if len(set(tta.values())) > 1 else {},
        decision=records.read(folder / names.DECISION, DecisionRecord, what="decision"),
        ensemble=ensemble,
        files={},
    )
    return record, dirs
