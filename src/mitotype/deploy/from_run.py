"""From a finished run to a bundle with its card."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from mitotype.backbones import backbones, weights
from mitotype.core import files, outputs, records
from mitotype.core.errors import UserError
from mitotype.core.folder_lock import remove_lock
from mitotype.core.run_layout import (
    EnsembleRecord,
    EvaluationRecord,
    MemberRecord,
    RunRecord,
    bundle_digest,
    names,
    read_ensemble,
    read_ledger,
    read_member,
    read_weights,
)
from mitotype.core.run_layout.bundle import LicenseRecord
from mitotype.core.run_layout.run import RecipeFields
from mitotype.core.schema import OUT_OF_FOLD, TEST
from mitotype.deploy.card import render_card
from mitotype.deploy.described_ensemble import describe_ensemble
from mitotype.deploy.described_run import describe_run
from mitotype.deploy.licenses import license_terms
from mitotype.features import member_files as feature_members
from mitotype.scores import operating
from mitotype.scores.decision import Decision

PATH_FIELDS = ("init_from", "teacher")  # fields of a recipe that may be paths
MEMBER_FILES = (names.MEMBER, names.WEIGHTS, names.HEAD)


def bundle_from_run(run_dir: Path, out: Path, *, name: str = "mine", notes: str = "", with_base: bool = False) -> Path:
    """Write the bundle of a finished run or ensemble into `out`; its card includes its evaluations and ledger, if there are any.

    `notes` is Markdown for the card: how choices were made. A base that is not published is included; published weights
    only `with_base`, and only if their license allows sharing what is made of them.
    """
    with outputs.claimed(out, names.BUNDLE_FILES, inputs=[run_dir]):
        is_ensemble = names.is_ensemble(run_dir)
        record, member_dirs = describe_ensemble(run_dir) if is_ensemble else (describe_run(run_dir), {})
        member_dirs = member_dirs or {member: names.member_dir(run_dir, member) for member in record.members}
        members = {member: _checked_member(folder) for member, folder in member_dirs.items()}
        terms = license_terms(members.values())
        record = replace(
            record,
            name=name,
            run=record.run and _portable(record.run),
            ensemble=record.ensemble and _without_paths(record.ensemble),
            test=_evaluation(run_dir, names.EVALUATION, TEST),
            out_of_fold=_evaluation(run_dir, names.EVALUATION_OUT_OF_FOLD, OUT_OF_FOLD),
            operating=operating.curve_of_run(run_dir, records.convert(record.decision, Decision)) or UNSET,
            openings=read_ledger(run_dir),
            member_digests={member: value.digest for member, value in members.items()},
            licenses=LicenseRecord(lines=terms.lines(), commercial=terms.commercial, shareable=terms.shareable),
        )
        sources = {
            f"{names.MEMBERS}/{member}/{file}": folder / file
            for member, folder in member_dirs.items()
            for file in MEMBER_FILES
            if (folder / file).is_file()
        }
        bases = _bases(members.values(), with_base)
        sources |= {f"{names.BASES}/{digest}.safetensors": source for digest, source in bases.items()}
        for path, source in sources.items():
            files.copy(source, out / path)
        for member, value in members.items():
            if value.name != member:
                records.write(names.member_dir(out, member) / names.MEMBER, replace(value, name=member))
        files.write_text(out / names.CARD, render_card(record, notes))
        record = replace(record, files={path: files.sha256(out / path) for path in sorted([names.CARD, *sources])})
        records.write(out / names.BUNDLE, replace(record, digest=bundle_digest(record)))  # last: it makes it a bundle
        remove_lock(out)  # a bundle is its files and nothing else
    return out


def _checked_member(member_dir: Path) -> MemberRecord:
    """Return the record of a member. Raises a UserError where its weights or its head are not those that were written."""
    record = read_member(member_dir)
    if record.feature is None:
        read_weights(member_dir)
    else:
        feature_members.read_member(member_dir)
    return record


def _portable(run: RunRecord) -> RunRecord:
    """Return the record of a run with the last part of every path of the machine it was made on, and without plugins."""
    sources = [Path(source).name for source in run.data.sources]
    recipe, overrides = _last_parts(run.recipe), _last_parts(run.overrides)
    return replace(run, data=replace(run.data, sources=sources), recipe=recipe, overrides=overrides, plugins=[])


def _without_paths(ensemble: EnsembleRecord) -> EnsembleRecord:
    """Return the record of an ensemble with the name of each run in place of its path."""
    return replace(ensemble, sources=[replace(source, path=source.name) for source in ensemble.sources])


def _last_parts(fields: RecipeFields) -> RecipeFields:
    return {key: Path(str(value)).name if key in PATH_FIELDS else value for key, value in fields.items()}


def _evaluation(run_dir: Path, name: str, part: str) -> EvaluationRecord | None:
    """Return an evaluation of a run. Raises a UserError for one of other scores or of another part."""
    path = run_dir / name
    if not path.is_file():
        return None
    evaluation = records.read(path, EvaluationRecord, what="evaluation")
    members = {path.name for path in names.member_dirs(run_dir)}
    if names.is_ensemble(run_dir):
        members = {f"{s.name}/{member}" for s in read_ensemble(run_dir).sources for member in s.members}
    if not members.issuperset(evaluation.settings.members) or {entry.part for entry in evaluation.entries} - {part}:
        fix = f"mitotype evaluate {run_dir} --part {part}, or remove '{name}'"
        raise UserError(f"'{path}' is no evaluation of the {part} rows of this run.", fix=fix)
    return evaluation


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
        paths[architecture.base] = weights.find_safetensors(
            architecture.backbone, architecture.base, fix="convert it, or leave --with-base out"
        )
    return paths
