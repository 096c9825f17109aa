"""Every record refuses what is not valid by a UserError with file and key, and reads what it wrote."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mitotype.core import records, run_layout
from mitotype.core.errors import UserError
from mitotype.core.records import Record
from mitotype.core.run_layout import (
    BundleRecord,
    CombinerRecord,
    DecisionRecord,
    EnsemblePlan,
    EnsembleRecord,
    EnsembleSource,
    EvaluationRecord,
    HeadRecord,
    MemberRecord,
    OodRecord,
    Opening,
    RunRecord,
    names,
)  # fmt: skip
from mitotype.deploy.bundle import SHIPPED

BUNDLE, MORPHOLOGY = SHIPPED / "default", SHIPPED / "morphology"
RECORDS: dict[str, type[Record]] = {
    "run": RunRecord, "member": MemberRecord, "head": HeadRecord, "decision": DecisionRecord, "ood": OodRecord,
    "evaluation": EvaluationRecord, "bundle": BundleRecord, "opening": Opening,
    "ensemble": EnsembleRecord, "plan": EnsemblePlan,
}  # fmt: skip


def example(kind: str) -> Record:
    """A valid record of each kind, from the shipped bundles, with lists and mappings cut short."""
    bundle = run_layout.read_bundle(BUNDLE)
    assert bundle.run is not None
    digest = bundle.run.data.digest
    parts: dict[str, Any] = {
        "run": bundle.run, "decision": bundle.decision, "ood": bundle.ood, "evaluation": bundle.test,
        "opening": bundle.openings[0], "bundle": bundle,
        "member": records.read(BUNDLE / "members" / "all-seed0" / names.MEMBER, MemberRecord),
        "head": records.read(MORPHOLOGY / "members" / "all-seed0" / names.HEAD, HeadRecord),
        "ensemble": EnsembleRecord(
            rule="stack", combiner=CombinerRecord("weighted", weights={"a": 0.5}, intercept=0.1),
            sources=[EnsembleSource(name="a", path="../a", members={"fold1-seed0": digest}, rows=digest)],
            patches=10, atypical=3, cases=4, rows=digest, folds=5, seed=0, created="2026-01-01",
        ),
        "plan": EnsemblePlan(
            name="two", members={"a": bundle.run.recipe}, combiner="stack", calibration="platt", threshold="half",
            abstention="none", sources=["DATA"], hold_out=["amibr-test"], digest=digest, device="cpu", started="2026-01-01",
        ),
    }  # fmt: skip
    return msgspec.convert(shortened(records.to_builtins(parts[kind])), RECORDS[kind])


def shortened(value: Any) -> Any:
    if isinstance(value, list):
        return [shortened(item) for item in value[:3]]
    return {key: shortened(item) for key, item in value.items()} if isinstance(value, dict) else value


DOCUMENTS = {kind: records.to_builtins(example(kind)) for kind in RECORDS}


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in items for deeper in paths(item, (*path, key)))]


PATHS = {kind: paths(document) for kind, document in DOCUMENTS.items()}


def replaced(document: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return document


def refused_or_equal(raw: bytes, kind: str) -> bool:
    """True where a document is refused with a UserError that names the file; a document that is read must be written back."""
    try:
        record = records.decode(raw, RECORDS[kind], f"The file '{kind}.json'")
    except UserError as error:
        assert f"{kind}.json" in str(error)
        return True
    assert records.decode(records.encode(record), RECORDS[kind], "again") == record
    return False


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    records.write(tmp_path / "a.json", example(kind))
    assert records.read(tmp_path / "a.json", RECORDS[kind]) == example(kind)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_changed_document_is_refused_or_valid(kind: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PATHS[kind]))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    document = DOCUMENTS[kind]
    value = document
    for key in path:
        value = value[key]
    if change == "replace":
        document = replaced(document, path, data.draw(ANY_JSON))
    elif isinstance(value, dict) and change == "add":
        document = replaced(document, path, {**value, data.draw(st.text(max_size=10)): data.draw(ANY_JSON)})
    elif isinstance(value, dict) and value:
        removed = data.draw(st.sampled_from(sorted(value)))
        document = replaced(document, path, {key: item for key, item in value.items() if key != removed})
    refused_or_equal(json.dumps(document).encode(), kind)


def hostile(document: dict[str, Any]) -> list[bytes]:
    """Documents that no writer of ours makes."""
    text = json.dumps(document)
    key = sorted(key for key in document if key != "format")[0]
    deep = "[" * 10_000
    values = ("NaN", "Infinity", "1e400", '"\\ud800"', deep, deep + "]" * 10_000, f'"{"x" * 10_000_000}"', "9" * 500)
    broken = [f'"{key}": {value}' for value in values]
    return [
        *(f"{{{value}, {text[1:]}".encode() for value in broken),
        *(f"{{{text[1:-1]}, {value}}}".encode() for value in broken),
        text.encode()[: len(text) // 2],
        text.encode() + b"}",
        b"\xff\xfe" + text.encode("utf-16-le"),
        text.encode().replace(b'"', b"'"),
        b"",
        b"null",
        b"[]",
        b"[" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"format": 1}',
        b'{"format": 3, ' + text.encode()[1:],
        json.dumps({**document, "unknown": 1}).encode(),
        json.dumps({**document, "format": "2"}).encode(),
        json.dumps({**document, "format": math.inf}).encode(),
    ]


@pytest.mark.parametrize("kind", RECORDS)
def test_hostile_documents_are_refused(kind: str) -> None:
    for raw in hostile(DOCUMENTS[kind])[8:]:
        assert refused_or_equal(raw, kind), raw[:80]
    for raw in hostile(DOCUMENTS[kind])[:8]:  # the valid value comes second and wins, unless the first is malformed
        refused_or_equal(raw, kind)


@pytest.mark.parametrize("name", ["default", "morphology"])
def test_a_path_out_of_the_bundle_is_refused(name: str) -> None:
    document = records.to_builtins(run_layout.read_bundle(SHIPPED / name))
    for wrong in ("../../outside", "/etc/passwd", ".hidden", "a/b", "", ".."):
        with pytest.raises(UserError, match="members"):
            records.decode(
                json.dumps({**document, "members": [wrong]}).encode(), BundleRecord, "The file 'bundle.json'"
            )
        with pytest.raises(UserError, match="is not valid"):
            files = {**document["files"], f"members/{wrong}/../x": "0" * 64}
            records.decode(json.dumps({**document, "files": files}).encode(), BundleRecord, "The file 'bundle.json'")


def test_the_key_is_named(tmp_path: Path) -> None:
    document = replaced(DOCUMENTS["decision"], ("threshold", "value"), "high")
    (tmp_path / "decision.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"decision\.json' is not valid: .* at key `threshold\.value`"):
        records.read(tmp_path / "decision.json", DecisionRecord, what="decision")


def test_json_has_no_nan(tmp_path: Path) -> None:
    records.write(tmp_path / "a.json", {"x": math.nan, "y": [math.inf, 1.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [None, 1.5]}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_broken_json_is_a_user_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json"):
        records.read(tmp_path / "a.json", RunRecord)
