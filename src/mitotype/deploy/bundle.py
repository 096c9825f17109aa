"""Bundle: one folder that predicts. JSON and safetensors only; it names shelf keys, and no code in it is ever run.

bundle.json       members, combine, decide, unlike, digest of every file, digest of itself
members/NAME/     member.json, and model.safetensors of a net or head.json of a feature
bases/            weights under adapters and probes, where they may be shared, once for all members
card.md           what a person should read first
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.scores.ensemble import Combine

FORMAT = 1
TOLD = "bundle.json"
MEMBER_FILES = ("member.json", "model.safetensors", "head.json")
SHIPPED = Path(__file__).parents[1] / "bundles"


def shipped() -> dict[str, Path]:
    """The bundles that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{TOLD}"))}


def find(name_or_folder: str) -> Path:
    """The folder of a bundle or run: a shipped bundle's name, or a path."""
    known = shipped()
    if name_or_folder in known:
        return known[name_or_folder]
    folder = Path(name_or_folder)
    if not (folder / TOLD).is_file() and not (folder / "run.json").is_file():
        raise Mistake(
            f"'{name_or_folder}' is neither a bundle nor a run.",
            allowed=f"a folder with {TOLD} or run.json, or one of: {', '.join(known) or 'none is shipped'}",
            fix="mitotype bundles",
        )
    return folder


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a bundle is made of. `members` names the folder of each; `told` is kept as it is (recipe, data, numbers)."""

    name: str
    members: Mapping[str, Path]
    bases: Mapping[str, Path]  # digest → file
    views: str
    decide: Mapping[str, Any]
    unlike: Mapping[str, Any] | None
    card: str
    told: Mapping[str, Any]


def write(folder: Path, content: Content) -> Path:
    """Write a bundle; `bundle.json`, which makes it one, comes last."""
    if (folder / TOLD).exists():
        raise Mistake(f"'{folder}' already holds a bundle.", fix="choose another folder with --out")
    for member, source in content.members.items():
        for file in MEMBER_FILES:
            if (source / file).is_file():
                with files.atomic(folder / "members" / member / file) as part:
                    shutil.copyfile(source / file, part)
    for digest, source in content.bases.items():
        with files.atomic(folder / "bases" / f"{digest}.safetensors") as part:
            shutil.copyfile(source, part)
    files.write_text(folder / "card.md", content.card)
    told = files.plain({
        "format": FORMAT,
        "name": content.name,
        "members": sorted(content.members),
        "combine": Combine().to_dict(),
        "views": content.views,
        "decide": content.decide,
        "unlike": content.unlike,
        "told": content.told,
        "files": {str(path.relative_to(folder)): files.sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()},
    })  # fmt: skip
    files.write_json(folder / TOLD, told | {"digest": own_digest(told)})
    return folder


def read(folder: Path) -> dict[str, Any]:
    """`bundle.json`, after every file's digest and its own have been checked."""
    content = files.read_json(folder / TOLD, what="bundle")
    broken = Mistake(f"The bundle '{folder}' is not as it was written", fix="copy it again from its source")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise Mistake(
            f"The bundle '{folder}' has format {found!r}; this version reads {FORMAT}.",
            fix="update mitotype, or make the bundle anew",
        )
    kept = {key: value for key, value in content.items() if key != "digest"}
    if own_digest(kept) != content.get("digest"):
        raise Mistake(f"{broken.what}: {TOLD} was changed.", fix=broken.fix)
    for file, digest in content["files"].items():
        path = (folder / file).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise Mistake(f"{broken.what}: '{file}' is missing.", fix=broken.fix)
        if files.sha256(path) != digest:
            raise Mistake(f"{broken.what}: '{file}' was changed.", fix=broken.fix)
    return content


def own_digest(content: Mapping[str, Any]) -> str:
    """Digest of a bundle's JSON without its own line."""
    return files.digest_of(json.dumps(content, sort_keys=True, ensure_ascii=False))
