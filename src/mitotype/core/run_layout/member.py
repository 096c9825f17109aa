"""member.json and head.json: one trained member of a run or bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.records import Count, Digest, Format2, Name, Record, Scalar, Text
from mitotype.core.run_layout import names

Pixels = Annotated[int, Meta(ge=1, le=8192)]
Row = list[float]
MAX_WEIGHTS_BYTES = 64 * 2**30


class WeightsSource(Record, frozen=True):
    """Weights by their digest and where they came from; never a path of a machine."""

    backbone: Name
    digest: Digest
    source: Text = ""


class ArchitectureRecord(Record, frozen=True):
    """Everything that a classifier is built from.

    `aux_heads` are names and numbers of outputs, `model_kwargs` options of the trunk such as drop_path_rate. `base` is the
    digest of the weights under an adapter, "" where everything was trained. `normalization` names one of
    `backbones.model_spec.NORMALIZATION`, or is "" for that of the backbone's spec.
    """

    backbone: Name
    size_px: Pixels
    pooling: Name
    aux_heads: dict[Name, Annotated[int, Meta(ge=1, le=100_000)]] = {}
    head_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    model_kwargs: dict[Name, Scalar | list[Scalar]] = {}
    adaptation: Text = "full"
    base: Annotated[str, Meta(pattern=r"^([0-9a-f]{16,64})?$")] = ""
    normalization: Annotated[str, Meta(max_length=200)] = ""

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        return records.renamed(value, {"heads": "aux_heads", "options": "model_kwargs", "colours": "normalization"})


class MemberRecord(Format2, frozen=True, kw_only=True):
    """member.json: a net has an `architecture` and a `frame`, shape descriptors a `feature`.

    `digest` is that of the weights or head beside it; `fold` is the fold left out (0: none). `C` and `stored_patches` are
    what a probe chose and stored.
    """

    name: names.MemberName
    digest: Digest
    frame: Text | None = None
    architecture: ArchitectureRecord | None = None
    feature: Name | None = None
    fold: Count = 0
    seed: Count = 0
    epochs: Count = 0
    base: WeightsSource | None = None
    teacher_bases: list[WeightsSource] = []
    C: float | None = None
    stored_patches: Count | None = None

    def __post_init__(self) -> None:
        if (self.architecture is None) == (self.feature is None):
            raise ValueError("a member has either an architecture or a feature")
        if self.architecture is not None and self.frame is None:
            raise ValueError("a member with an architecture has a frame")

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        old = {"taught_by": "teacher_bases", "strength": "C", "remembered": "stored_patches"}
        value = records.renamed(value, old)
        if value.get("architecture"):
            value["architecture"] = ArchitectureRecord.upgrade(value["architecture"])
        if value.get("teacher_bases") is None:
            value.pop("teacher_bases", None)
        return value


class HeadRecord(Format2, frozen=True, kw_only=True):
    """head.json: the logistic head of D descriptors. K knots, T terms and Q quantiles per descriptor."""

    names: list[Name]
    median_D: Row
    knot_DK: list[Row]
    mean_D: Row
    scale_D: Row
    weight_DT: list[Row]
    offset_D: Row
    bias: float
    normal_DQ: list[Row]


def read_member(member_dir: Path) -> MemberRecord:
    return records.read(member_dir / names.MEMBER, MemberRecord, what="member")


def read_weights(member_dir: Path) -> tuple[MemberRecord, bytes]:
    """Return the record of a member and its weights as bytes, whose digest was checked."""
    record, path = read_member(member_dir), member_dir / names.WEIGHTS
    raw = files.read_bytes(path, what="weights", max_bytes=MAX_WEIGHTS_BYTES)
    if files.digest_of(raw) != record.digest:
        what = f"The weights '{path}' are not those that were written: their digest differs."
        raise UserError(what, fix="restore the file from a copy, or train again")
    return record, raw


def read_head(member_dir: Path) -> HeadRecord:
    return records.read(member_dir / names.HEAD, HeadRecord, what="head")
