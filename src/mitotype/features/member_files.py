"""Files of a feature's member: `member.json` (its description) and `head.json` (the logistic head as plain numbers)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitotype.core import files, records, run_layout
from mitotype.core.errors import UserError
from mitotype.core.run_layout import MemberRecord, names
from mitotype.features.logistic import LogisticHead


@dataclass(frozen=True)
class FeatureMember:
    """A feature with a fitted head, as a member of an ensemble."""

    name: str
    feature: str
    head: LogisticHead


def write_member(member_dir: Path, member: FeatureMember, **fields: Any) -> None:
    """Write a member; `fields` are further ones of its record (fold, seed, epochs)."""
    head = member_dir / names.HEAD
    records.write(head, member.head.to_record())
    record = MemberRecord(name=member.name, feature=member.feature, digest=files.sha256(head), **fields)
    records.write(member_dir / names.MEMBER, record)


def read_member(member_dir: Path) -> FeatureMember:
    """Read a member. Raises a UserError where its head is missing or changed."""
    record = run_layout.read_member(member_dir)
    head = member_dir / names.HEAD
    if record.feature is None or not head.is_file() or files.sha256(head) != record.digest:
        raise UserError(f"The head '{head}' is missing or was changed.", fix="restore the folder from a copy")
    return FeatureMember(record.name, record.feature, LogisticHead.from_record(run_layout.read_head(member_dir)))
