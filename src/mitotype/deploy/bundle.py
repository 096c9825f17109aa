"""Bundles: one folder that predicts. JSON and safetensors only; it names registry keys, and no code in it is ever run.

bundle.json       members, combiner, decision, out-of-distribution detector, digest of every file, digest of itself
members/NAME/     member.json, and model.safetensors of a net or head.json of a feature
bases/            weights under adapters and probes, where they may be shared, once for all members
card.md           what a person should read first
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, bundle_digest, names

MEMBER_FILES = (names.MEMBER, names.WEIGHTS, names.HEAD)
SHIPPED = Path(__file__).parents[1] / "bundles"


def shipped() -> dict[str, Path]:
    """Return the folders of the bundles that ship with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{names.BUNDLE}"))}


def find_bundle(source: str) -> Path:
    """Return the folder of a bundle or run, given the name of a shipped bundle or a path."""
    bundles = shipped()
    if source in bundles:
        return bundles[source]
    folder = Path(source)
    if not names.is_bundle(folder) and not names.is_run(folder):
        raise UserError(
            f"'{source}' is neither a bundle nor a run.",
            allowed=f"a folder with {names.BUNDLE} or {names.RUN}, or one of: {', '.join(bundles) or 'none is shipped'}",
            fix="see the shipped ones: mitotype bundles",
        )
    return folder


def write_bundle(
    folder: Path, record: BundleRecord, *, member_dirs: Mapping[str, Path], bases: Mapping[str, Path], card: str
) -> Path:
    """Write a bundle; `bundle.json`, which makes it one, comes last. Its digests are computed here.

    `member_dirs` and `bases` are the sources of its files, by member and by digest.
    """
    if names.is_bundle(folder):
        raise UserError(f"'{folder}' already contains a bundle.", fix="choose another folder with --out")
    sources = {
        f"{names.MEMBERS}/{member}/{file}": source / file
        for member, source in member_dirs.items()
        for file in MEMBER_FILES
        if (source / file).is_file()
    }
    sources |= {f"{names.BASES}/{digest}.safetensors": source for digest, source in bases.items()}
    for file, source in sources.items():
        with files.atomic(folder / file) as part:
            shutil.copyfile(source, part)
    files.write_text(folder / names.CARD, card)
    digests = {file: files.sha256(folder / file) for file in sorted([names.CARD, *sources])}
    record = msgspec.structs.replace(record, files=digests)
    records.write(folder / names.BUNDLE, msgspec.structs.replace(record, digest=bundle_digest(record)))
    return folder
