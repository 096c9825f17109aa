"""The metadata of model.onnx: what a program needs beside the graph, and the digest of what the graph was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.records import Digest, Name, Record, Share, Text
from mitotype.core.schema import MPP_UM, NOTICE

if TYPE_CHECKING:
    from mitotype.core.run_layout.bundle import BundleRecord


class GraphRecord(Record, frozen=True, kw_only=True):
    """Metadata of a graph, each value as JSON. `views` are those of each member, in the order of the outputs and their columns.

    A figure is atypical where the output `probability` is at least `threshold`; `band` are the probabilities between which the
    decision is uncertain. Images are uint8 at `mpp_um`, with the figure in the middle and sides of at least `needs_px`.
    """

    views: Annotated[dict[Name, list[Name]], Meta(min_length=1)]
    needs_px: Annotated[int, Meta(ge=1, le=10_000)]
    threshold: Share
    band: tuple[Share, Share]
    digest: Digest
    mpp_um: float = MPP_UM
    notice: Text = NOTICE

    def to_metadata(self) -> dict[str, str]:
        return {key: msgspec.json.encode(value).decode() for key, value in records.to_builtins(self).items()}


def read_metadata(metadata: Mapping[str, str], source: str) -> GraphRecord:
    """Return the record in the metadata of a graph. Raises a UserError that names `source` for any other metadata."""
    try:
        return msgspec.convert({key: msgspec.json.decode(value) for key, value in metadata.items()}, GraphRecord)
    except records.INVALID as error:
        what = f"The graph '{source}' has no metadata of mitotype: {error}."
        raise UserError(what, fix="make it again: mitotype export BUNDLE --to onnx") from error


def graph_digest(record: BundleRecord) -> str:
    """Return the digest of everything in a bundle that its graph depends on: weights, views, combiner and decision."""
    members = [f"{name} {record.member_digests.get(name, '')} {record.tta_of(name)}" for name in record.members]
    decision = (record.decision.calibration, record.decision.threshold, record.decision.abstention)
    return files.digest_of(*members, records.encode(record.combiner), records.encode(decision))
