"""From a finished run to a bundle with its card."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from mitotype.backbones import backbones, weights
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import (
    BundleRecord,
    CombinerRecord,
    DecisionRecord,
    EvaluationRecord,
    MemberRecord,
    OodRecord,
    RunRecord,
    names,
    read_finished_run,
    read_ledger,
    read_member,
    read_ood,
)
from mitotype.core.run_layout.bundle import LicenseRecord
from mitotype.core.run_layout.run import RecipeFields
from mitotype.deploy.bundle import write_bundle
from mitotype.deploy.card import render_card
from mitotype.deploy.licenses import license_terms
from mitotype.deploy.predictor import deployed_members

PATH_FIELDS = ("init_from", "teacher")  # fields of a recipe that may be paths


def bundle_from_run(run_dir: Path, out: Path, *, name: str, notes: str = "", with_base: bool = False) -> Path:
    """Write the bundle of a finished run into `out`; its card includes the run's evaluations and ledger, if there are any.

    `notes` is Markdown for the card: how choices were made. A base that is not published is included; published weights
    only `with_base`, and only if their license allows sharing what is made of them.
    """
    run = read_finished_run(run_dir)
    member_dirs = {member: names.member_dir(run_dir, member) for member in deployed_members(run_dir, run)}
    members = {member: read_member(path) for member, path in member_dirs.items()}
    terms = license_terms(members.values())
    record = BundleRecord(
        name=name,
        members=sorted(members),
        combiner=CombinerRecord(),
        tta=run.recipe_text("tta"),
        decision=records.read(run_dir / names.DECISION, DecisionRecord, what="decision"),
        ood=_ood_of(run_dir, members),
        run=_without_paths(run),
        test=_evaluation(run_dir / names.EVALUATION),
        out_of_fold=_evaluation(run_dir / names.EVALUATION_OUT_OF_FOLD),
        openings=read_ledger(run_dir),
        member_digests={member: value.digest for member, value in members.items()},
        licenses=LicenseRecord(lines=terms.lines(), commercial=terms.commercial, shareable=terms.shareable),
        files={},
    )
    bases = _bases(members.values(), with_base)
    return write_bundle(out, record, member_dirs=member_dirs, bases=bases, card=render_card(record, notes))


def _ood_of(run_dir: Path, members: Iterable[str]) -> OodRecord | None:
    """Return the out-of-distribution detectors of some members."""
    record = read_ood(run_dir)
    if record is None:
        return None
    return replace(record, detectors={name: record.detectors[name] for name in members if name in record.detectors})


def _without_paths(run: RunRecord) -> RunRecord:
    """Return the record of a run with the last part of every path of the machine it was made on."""
    sources = [Path(source).name for source in run.data.sources]
    recipe, overrides = _last_parts(run.recipe), _last_parts(run.overrides)
    return replace(run, data=replace(run.data, sources=sources), recipe=recipe, overrides=overrides)


def _last_parts(fields: RecipeFields) -> RecipeFields:
    return {key: Path(str(value)).name if key in PATH_FIELDS else value for key, value in fields.items()}


def _evaluation(path: Path) -> EvaluationRecord | None:
    return records.read(path, EvaluationRecord, what="evaluation") if path.is_file() else None


def _bases(members: Iterable[MemberRecord], with_base: bool) -> dict[str, Path]:
    """Return digest → file of the bases that go into the bundle."""
    paths = {}
    for member in members:
        architecture = member.architecture
        if architecture is None or not architecture.base:
            continue
        spec = backbones.get(architecture.backbone).spec
        if spec.weights is not None and not with_base:
            continue
        if spec.weights is not None and not spec.shareable_derivatives:
            what = f"The weights of {architecture.backbone} ({spec.license}) may not be passed on."
            raise UserError(what, fix="leave --with-base out: users of the bundle download the weights themselves")
        base = Path(weights.find_by_digest(architecture.backbone, architecture.base).path)
        if base.suffix != ".safetensors":
            raise UserError(f"'{base.name}' is not a safetensors file.", fix="convert it, or leave --with-base out")
        paths[architecture.base] = base
    return paths
