"""bundle.json: members, how they combine and decide, what is on the card, and the digest of every file of the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.records import Count, Digest, Name, Record, Share, Text
from mitotype.core.run_layout import names
from mitotype.core.run_layout.decision import CombinerRecord, DecisionRecord
from mitotype.core.run_layout.ensemble import EnsembleRecord
from mitotype.core.run_layout.evaluation import EvaluationRecord, Interval
from mitotype.core.run_layout.ledger import Opening
from mitotype.core.run_layout.ood import OodRecord
from mitotype.core.run_layout.operating import OperatingCurve
from mitotype.core.run_layout.run import RunRecord

PART = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}"
LICENSES_1 = {"licences": "lines", "commercial": "commercial", "shareable": "shareable"}
BundleFile = Annotated[str, Meta(pattern=rf"^(card\.md|model\.onnx|members/{PART}/{PART}|bases/{PART})$")]


class LicenseRecord(Record, frozen=True, kw_only=True):
    """What the licenses of the weights under a bundle allow: one line per backbone, and the two answers."""

    lines: list[Text] = []
    commercial: bool = True
    shareable: bool = True


class LocalLabelsRecord(Record, frozen=True, kw_only=True):
    """The labels of a laboratory that a bundle's decision was adapted to, and what that changed on them.

    `bundle` is the digest of the bundle before, `digest` that of the images. `slope` and `intercept` change the calibrated
    logit, `weight` is that of the laboratory's own threshold. `before` and `after` are balanced accuracies on the labels, as
    the bundle decided and as it decides now, cross-fitted by case; `difference` is paired.
    """

    sources: list[Text]
    patches: Count
    atypical: Count
    cases: Count
    digest: Digest
    bundle: Digest
    slope: float
    intercept: float
    weight: Share
    threshold_before: Share
    before: Interval
    after: Interval
    difference: Interval
    notes: list[Text] = []
    created: Name


class BundleRecord(Record, frozen=True, kw_only=True):
    """bundle.json. `files` are the digests of all other files, `digest` is that of this record without it.

    `member_tta` are the views of members where they differ, `ensemble` is what it was made of if not a run, `local_labels` what
    its decision was adapted to; its graph, which has the same members, then has the digest `graph_digest`. `operating` is not
    in bundles that were made before it was stored.
    """

    format: Literal[1, 2] = 2
    name: Name
    members: Annotated[list[names.MemberName], Meta(min_length=1)]
    combiner: CombinerRecord
    tta: Text
    member_tta: dict[Name, Text] = {}
    decision: DecisionRecord
    ood: OodRecord | None = None
    run: RunRecord | None = None
    ensemble: EnsembleRecord | None = None
    local_labels: LocalLabelsRecord | None = None
    test: EvaluationRecord | None = None
    out_of_fold: EvaluationRecord | None = None
    openings: list[Opening] = []
    operating: OperatingCurve | UnsetType = UNSET
    member_digests: dict[Name, Digest] = {}
    licenses: LicenseRecord = LicenseRecord()
    graph_digest: Digest | UnsetType = UNSET
    files: dict[BundleFile, Digest]
    digest: str = ""

    def tta_of(self, member: str) -> str:
        """Return the spec of a member's views."""
        return self.member_tta.get(member, self.tta)

    @classmethod
    def upgrade(cls, value: dict[str, Any]) -> dict[str, Any]:
        about = records.renamed(value.pop("told"), {"members": "member_digests"})
        licenses = {new: about.pop(old) for old, new in LICENSES_1.items() if old in about}
        old = {"combine": "combiner", "views": "tta", "decide": "decision", "unlike": "ood"}
        value = records.renamed(value | about, old) | {"licenses": licenses}
        value["decision"] = DecisionRecord.upgrade(value["decision"])
        upgrades: dict[str, type[Record]] = {
            "ood": OodRecord, "run": RunRecord, "test": EvaluationRecord, "out_of_fold": EvaluationRecord,
        }  # fmt: skip
        for key, record in upgrades.items():
            if value.get(key):
                value[key] = record.upgrade(value[key])
        value["openings"] = [Opening.upgrade(opening) for opening in value.get("openings", [])]
        return value


def bundle_digest(record: BundleRecord) -> str:
    """Return the digest of a bundle's record without its own `digest`."""
    return _document_digest(records.encode(record))


def _document_digest(raw: bytes) -> str:
    """Return the digest of the sorted document without its `digest`. Fields that later versions add do not change it."""
    value = msgspec.json.decode(raw) | {"digest": ""}
    return files.digest_of(msgspec.json.encode(value, order="sorted"))


def check_no_run(folder: Path) -> None:
    """Raise a UserError for a run where a bundle is needed."""
    if names.is_run(folder) and not names.is_bundle(folder):
        raise UserError(f"'{folder}' is a run.", fix=f"make a bundle of it: mitotype bundle {folder} --out DIR")


def read_bundle(folder: Path) -> BundleRecord:
    """Return the record of a bundle after its own digest and those of all its files were checked.

    Raises a UserError for a run, and for a bundle that was changed, is damaged or incomplete, or is of an unknown format.
    """
    check_no_run(folder)
    raw = files.read_bytes(folder / names.BUNDLE, what="bundle", max_bytes=records.MAX_BYTES)
    record = records.decode(raw, BundleRecord, f"The bundle '{folder / names.BUNDLE}'")
    own = _digest_1(raw) if record.format == 1 else _document_digest(raw)
    changed = f"The bundle '{folder}' is not as it was written"
    fix = "copy it again from its source"
    if own != record.digest:
        raise UserError(f"{changed}: {names.BUNDLE} was changed.", fix=fix)
    for file, digest in record.files.items():
        path = folder / file
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{changed}: '{file}' is missing.", fix=fix)
        if files.sha256(path) != digest:
            raise UserError(f"{changed}: '{file}' was changed.", fix=fix)
    missing = [name for name in record.members if f"members/{name}/{names.MEMBER}" not in record.files]
    if missing:
        raise UserError(f"{changed}: the member '{missing[0]}' is not among its files.", fix=fix)
    return record


def _digest_1(raw: bytes) -> str:
    """Return the digest as format 1 defines it: of the sorted document without its line `digest`."""
    value = json.loads(raw)
    value.pop("digest", None)
    return files.digest_of(json.dumps(value, sort_keys=True, ensure_ascii=False))
