"""Push and fetch with the real client of the hub over HTTP, against a stand-in on the loopback."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

import mitotype
from mitotype.core import records
from mitotype.core.errors import UserError
from mitotype.core.run_layout import BundleRecord, bundle_digest, read_bundle
from mitotype.deploy import hub_bundle
from mitotype.deploy.bundle import shipped
from tests.deploy.hub_server import TOKEN, Hub, Repository

DEFAULT = shipped()["default"]


def command(hub: Hub, *arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run mitotype in a process whose HF_ENDPOINT is the stand-in."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
        "XDG_CACHE_HOME": str(cache), "HF_HOME": str(cache / "hf"),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "mitotype", *arguments], capture_output=True, text=True, env=environment
    )


def stored(hub: Hub, changes: dict[str, bytes], source: Path = DEFAULT) -> str:
    """Store a bundle with changed files as a repository of the hub and return its address."""
    content = {str(p.relative_to(source)): p.read_bytes() for p in source.rglob("*") if p.is_file()}
    hub.repositories["me/b"] = Repository(private=False)
    return f"hf://me/b@{hub.repositories['me/b'].commit(content | changes)}"


def relisted(changes: dict[str, bytes]) -> dict[str, bytes]:
    """Return changed files with a bundle.json that lists them with right digests, as a forger would write it."""
    record = read_bundle(DEFAULT)
    digests = record.files | {file: hashlib.sha256(raw).hexdigest() for file, raw in changes.items()}
    record = msgspec.structs.replace(record, files=digests)
    record = msgspec.structs.replace(record, digest=bundle_digest(record))
    return {**changes, "bundle.json": records.encode(record)}


def test_a_bundle_is_pushed_and_classifies_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    pushed = command(hub, "push", "default", "me/default", cache=tmp_path)
    assert pushed.returncode == 0, pushed.stderr
    assert f"{hub.endpoint}/me/default" in pushed.stdout
    repository = hub.repositories["me/default"]
    content = repository.content
    assert len(repository.commits) == 1  # all files in one commit
    expected = {str(path.relative_to(DEFAULT)) for path in DEFAULT.rglob("*") if path.is_file()}
    assert set(content) == expected | {"README.md", ".eval_results/mitotype.yaml"}
    assert all(content[file] == (DEFAULT / file).read_bytes() for file in expected)

    here = mitotype.classify(mitotype.example_images())
    for revision in ("main", repository.head):
        address = f"hf://me/default@{revision}"
        fetched = command(hub, "classify", "--example", "--json", "--bundle", address, cache=tmp_path)
        assert fetched.returncode == 0, fetched.stderr
        assert [item["probability"] for item in json.loads(fetched.stdout)] == [p.probability for p in here]
    n_requests = len(hub.requests)
    again = command(hub, "classify", "--example", "--json", "--bundle", address, cache=tmp_path)
    assert again.stdout == fetched.stdout
    assert len(hub.requests) == n_requests  # a commit that is in the cache needs no network


def test_the_page_has_front_matter_results_and_card(hub: Hub) -> None:
    mitotype.push("default", "me/default")
    content = hub.repositories["me/default"].content
    data = hub.repositories["me/default"].front_matter()
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "mitotype",
        "image-classification",
    )
    results = {(r.dataset_type, r.metric_type): r.metric_value for r in data.eval_results or []}
    assert results[("amibr", "balanced_accuracy")] == pytest.approx(0.8534, abs=1e-4)
    assert results[("atnorm-br", "roc_auc")] == pytest.approx(0.9063, abs=1e-4)
    text = content["README.md"].decode()
    assert "\n---\n# default\n" in text and "Research Use Only" in text
    entries = yaml.safe_load(content[".eval_results/mitotype.yaml"])
    assert len(entries) == len(results)
    for entry in entries:
        assert {"dataset", "value"} <= set(entry) <= {"dataset", "value", "date", "notes"}
        assert results[(entry["dataset"]["id"], entry["dataset"]["task_id"])] == entry["value"]
        assert isinstance(entry["date"], str)


@pytest.mark.parametrize("file", ["model.onnx", "members/all-seed0/model.safetensors", "card.md", "bundle.json"])
def test_a_changed_byte_is_refused(file: str, hub: Hub) -> None:
    raw = bytearray((DEFAULT / file).read_bytes())
    position = raw.rindex(b"0") if file == "bundle.json" else len(raw) - 2
    raw[position] ^= 1
    address = stored(hub, {file: bytes(raw)})
    with pytest.raises(UserError, match="is not as it was written"):
        mitotype.open_bundle(address)
    with pytest.raises(UserError, match="is not as it was written"):  # and nothing of it is in the cache
        mitotype.open_bundle(address)


def test_a_byte_that_changes_in_the_cache_is_refused(hub: Hub) -> None:
    address = stored(hub, {})
    folder = mitotype.open_bundle(address).dir
    assert mitotype.open_bundle(address).dir == folder
    (folder / "card.md").write_text("# another card")
    with pytest.raises(UserError, match=r"'card\.md' was changed.\n  remove the folder"):
        mitotype.open_bundle(address)


@pytest.mark.parametrize("file", ["members/all-seed0/model.pkl", "bases/net.pt", "members/all-seed0/code.py"])
def test_a_pickle_is_refused_before_it_is_downloaded(file: str, hub: Hub) -> None:
    address = stored(hub, relisted({file: pickle.dumps(print)}))
    with pytest.raises(UserError, match="which may hold code"):
        mitotype.open_bundle(address)
    assert not [request for request in hub.requests if request.endswith(file)]


def test_a_pickle_under_the_name_of_weights_is_refused(hub: Hub) -> None:
    address = stored(hub, relisted({"members/all-seed0/model.safetensors": pickle.dumps({"weight": [0.0] * 99})}))
    with pytest.raises(UserError, match="is no safetensors file"):
        mitotype.open_bundle(address)


def test_files_that_the_bundle_does_not_list_are_not_downloaded(hub: Hub) -> None:
    address = stored(hub, {"pytorch_model.bin": pickle.dumps(print), "members/all-seed0/extra.py": b"print()"})
    folder = mitotype.open_bundle(address).dir
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
        str(p.relative_to(DEFAULT)) for p in DEFAULT.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://me/b", "no address of a bundle"), ("hf://me@main", "no address"), ("hf://../b@main", "no address"),
        ("hf://me/b@../x", "no address"), ("hf://me/absent@main", "could not be fetched"),
        (f"hf://me/b@{'1' * 40}", "could not be fetched"), ("hf://me/b@next", "could not be fetched"),
    ],
)  # fmt: skip
def test_other_addresses_are_user_errors(address: str, message: str, hub: Hub) -> None:
    stored(hub, {})
    with pytest.raises(UserError, match=message):
        hub_bundle.fetch(address)


def test_a_private_bundle_needs_a_login(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    mitotype.push("morphology", "me/secret", private=True)
    assert mitotype.open_bundle("hf://me/secret@main").members == ("all-seed0",)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UserError, match="could not be fetched"):
        mitotype.open_bundle("hf://me/secret@main")
    with pytest.raises(UserError, match="could not be pushed"):
        mitotype.push("morphology", "me/other")


def test_traces_of_the_maker_are_removed(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths, names and quoted cases go; what the bundle predicts and its card's numbers stay."""
    monkeypatch.setenv("USER", "annamuster")
    monkeypatch.setenv("LOGNAME", "annamuster")
    folder = tmp_path / "bundle"
    record = read_bundle(DEFAULT)
    assert record.test is not None and record.run is not None
    checks = [*record.test.checks, records.convert(record.test.checks[0], type(record.test.checks[0]))]
    checks[0] = msgspec.structs.replace(
        checks[0], text="1 test image is a training image too; the first: 'S17-4711/3'."
    )
    about = msgspec.structs.replace(record.test.about, command="mitotype evaluate /home/annamuster/runs/v1")
    run = msgspec.structs.replace(
        record.run, notes=[r"labels of C:\Users\annamuster\tumor.csv", "case 'S17-4711' has two scanners"]
    )
    card = (
        DEFAULT / "card.md"
    ).read_text() + "\nannamuster measured ~/data/new and file:///srv/lab/x.csv; see https://a.org/b/c\n"
    for file in record.files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(card.encode() if file == "card.md" else (DEFAULT / file).read_bytes())
    changed: BundleRecord = msgspec.structs.replace(
        record,
        run=run,
        test=msgspec.structs.replace(record.test, about=about, checks=checks),
        files=record.files | {"card.md": hashlib.sha256(card.encode()).hexdigest()},
    )
    records.write(folder / "bundle.json", msgspec.structs.replace(changed, digest=bundle_digest(changed)))

    mitotype.push(folder, "me/clean")
    content = hub.repositories["me/clean"].content
    for file in ("bundle.json", "card.md", "README.md"):
        text = content[file].decode()
        assert not [trace for trace in ("annamuster", "/home/", "Users", "/srv", "~/", "S17") if trace in text]
    assert "mitotype evaluate v1" in content["bundle.json"].decode()
    assert "… measured new and x.csv; see https://a.org/b/c" in content["card.md"].decode()
    fetched = mitotype.classify(mitotype.example_images(), "hf://me/clean@main")
    assert fetched.items == mitotype.classify(mitotype.example_images()).items


def test_a_file_with_the_home_folder_is_not_pushed(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"members/all-seed0/model.safetensors": b"\x02\0\0\0\0\0\0\0{} /home/annamuster/w"}
    folder = tmp_path / "bundle"
    for file in read_bundle(DEFAULT).files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((DEFAULT / file).read_bytes())
    for file, raw in relisted(content).items():
        (folder / file).write_bytes(raw)
    monkeypatch.setenv("HOME", "/home/annamuster")
    with pytest.raises(UserError, match="path of your home folder"):
        mitotype.push(folder, "me/b")
    assert not hub.repositories
