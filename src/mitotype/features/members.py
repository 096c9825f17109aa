"""A feature's member on disk: `member.json` (what it is) and `head.json` (the logistic head in plain numbers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.features.logistic import LogisticHead

HEAD = "head.json"


@dataclass(frozen=True)
class FeatureMember:
    """A feature with a fitted head: a member of an ensemble like any other."""

    name: str
    feature: str
    head: LogisticHead


def write(folder: Path, member: FeatureMember, *, more: Mapping[str, Any]) -> None:
    files.write_json(folder / HEAD, member.head.to_dict())
    told = {"name": member.name, "feature": member.feature, "digest": files.sha256(folder / HEAD), **more}
    files.write_json(folder / "member.json", told)


def read(folder: Path) -> FeatureMember:
    """Read a member; a changed byte or number is a Mistake."""
    told = files.read_json(folder / "member.json", what="member")
    if not isinstance(told, dict) or not (folder / HEAD).is_file() or files.sha256(folder / HEAD) != told.get("digest"):
        raise Mistake(
            f"The head '{folder / HEAD}' is not the one that was written.", fix="restore the folder from a copy"
        )
    return FeatureMember(
        str(told["name"]), str(told["feature"]), LogisticHead.from_dict(files.read_json(folder / HEAD))
    )
