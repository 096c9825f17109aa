"""An ensemble as the record of a bundle: what it would deploy."""

from __future__ import annotations

from pathlib import Path

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
)
from mitotype.scores.run_ensemble import check_source


def describe_ensemble(folder: Path) -> tuple[BundleRecord, dict[str, Path]]:
    """Return what an ensemble deploys as the record of a bundle, and the folders of its members, which are called SOURCE+MEMBER.

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
