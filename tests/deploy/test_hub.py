"""What may be published and what may not; and what doctor proves of a backbone's weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import save_file

from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.core import files
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.deploy import bundle as bundles
from mitotype.deploy import hub, licences, make, proof
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from tests.backbones.siblings import shelved

pytestmark = pytest.mark.usefixtures("one_thread")


class Hub:
    """Stands for the hub: remembers what it was sent."""

    sent: dict[str, Any]

    def __init__(self) -> None:
        Hub.sent = {}

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
        Hub.sent |= {
            "repository": repository,
            "private": private and repository != "me/public",
        }  # which is there already
        return f"https://hub/{repository}"

    def repo_info(self, repository: str) -> SimpleNamespace:
        return SimpleNamespace(private=Hub.sent["private"])

    def upload_file(self, *, path_or_fileobj: Path, path_in_repo: str, repo_id: str) -> None:
        Hub.sent[path_in_repo] = Path(path_or_fileobj).read_text()

    def upload_folder(self, *, folder_path: Path, repo_id: str, allow_patterns: list[str]) -> None:
        there = [str(p.relative_to(folder_path)) for p in Path(folder_path).rglob("*") if p.is_file()]
        Hub.sent["files"] = set(filter_repo_objects(there, allow_patterns=allow_patterns))


@pytest.fixture(autouse=True)
def a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)


def bundled(name: str, adaptation: str, cohort: Cohort, folder: Path) -> Path:
    facts = backbones.get(name).facts
    net = build(Architecture(name, facts.grid_px, facts.default_pooling), seed=5)
    save_file(
        {k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}, folder / "w.safetensors"
    )
    recipe = Recipe(
        name="short", backbone=name, size_px=facts.size_px, init_from=str(folder / "w.safetensors"), adaptation=adaptation,
        augment="crop(64)", views="identity", epochs=1, batch=16, warmup_epochs=0.0, folds="2", precision="fp32", refit=1, flag=0,
    )  # fmt: skip
    return make.bundle(run.start(recipe, cohort, folder / "run"), folder / "bundle", name="b")


@pytest.mark.parametrize("adaptation", ["full", "full(last=1)"])
def test_whole_weights_of_a_licence_without_derivatives_never_go_up(
    adaptation: str, drawn_cohort: Cohort, tmp_path: Path
) -> None:
    with shelved("uni2-h") as [name]:
        bundle = bundled(name, adaptation, drawn_cohort, tmp_path)
        for answer in (False, True):
            with pytest.raises(Mistake, match="bars sharing"):
                hub.push(bundle, "me/b", private=True, adapters_of_no_derivatives=answer)


def test_their_adapters_go_up_only_when_confirmed_and_private(drawn_cohort: Cohort, tmp_path: Path) -> None:
    with shelved("uni2-h") as [name]:
        bundle = bundled(name, "lora(2)", drawn_cohort, tmp_path)
        with pytest.raises(Mistake, match="bars derivatives"):
            hub.push(bundle, "me/b", private=True)
        with pytest.raises(Mistake, match="private"):
            hub.push(bundle, "me/b", private=False, adapters_of_no_derivatives=True)
        assert hub.push(bundle, "me/b", private=True, adapters_of_no_derivatives=True) == "https://hub/me/b"
        assert Hub.sent["private"] is True
        with pytest.raises(Mistake, match="'me/public' exists already and is public"):
            hub.push(bundle, "me/public", private=True, adapters_of_no_derivatives=True)
        assert "files" not in Hub.sent and "README.md" not in Hub.sent
        hub.push(bundle, "me/b", private=True, adapters_of_no_derivatives=True)
        assert not [file for file in Hub.sent["files"] if file.startswith("bases/")]


def test_what_may_be_shared_goes_up_with_its_card(drawn_cohort: Cohort, tmp_path: Path) -> None:
    with shelved("h-optimus-0") as [name]:
        bundle = bundled(name, "lora(2)", drawn_cohort, tmp_path)
        (bundle / "notes.txt").write_text("what else lies there stays there")
        hub.push(bundle, "me/b", private=False)
        told = files.read_json(bundle / "bundle.json")
        assert Hub.sent["files"] == {*told["files"], "bundle.json"}
        assert told["told"]["run"]["recipe"]["init_from"] == "w.safetensors"
        assert str(tmp_path) not in (bundle / "bundle.json").read_text()
        data = ModelCard(Hub.sent["README.md"], ignore_metadata_errors=False).data
        assert data.base_model == ["mitotype-tests/tiny-h-optimus-0"] and data["base_model_relation"] == "adapter"
        assert (data.license, data.library_name, data.model_name) == ("other", "mitotype", "b")
        assert "Research Use Only" in Hub.sent["README.md"]
    assert hub.push(bundles.shipped()["default"], "me/default", private=False)
    data = ModelCard(Hub.sent["README.md"]).data
    assert data.license == "apache-2.0" and data.base_model is None


def test_a_hub_that_cannot_be_reached_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: HfApi(endpoint="http://127.0.0.1:9", token="hf_none"))
    with pytest.raises(Mistake, match="'me/default' could not be pushed"):
        hub.push(bundles.shipped()["default"], "me/default", private=False)


@pytest.mark.parametrize(
    ("adaptation", "whole"), [("full", True), ("full(last=1)", True), ("probe", False), ("lora(2)", False)]
)
def test_a_student_is_under_the_terms_of_its_teachers(adaptation: str, whole: bool) -> None:
    member = {
        "base": {"backbone": "h-optimus-0", "digest": "0"},
        "taught_by": [
            {"backbone": "uni2-h", "digest": "1"},
            {"backbone": "vit-mini8", "digest": "2"},
            {"backbone": None},
        ],
        "architecture": {"adaptation": adaptation, "base": "" if adaptation == "full" else "0"},
    }
    found = licences.terms([member])
    assert found == licences.Terms(("h-optimus-0", "uni2-h"), whole=whole, commercial=False, shareable=False)
    assert licences.terms([{**member, "taught_by": None}]).shareable
    assert licences.terms([{**member, "base": None, "taught_by": []}]) == licences.Terms((), False, True, True)


@pytest.mark.parametrize(
    ("name", "says"),
    [("uni", "may not be shared;"), ("phikon", "may not be shared as far as is known;"), ("convnextv2-tiny", "may be shared;"),
     ("midnight-12k", "may be shared (")],
)  # fmt: skip
def test_a_licence_in_one_line(name: str, says: str) -> None:
    assert f"what is trained on the weights {says}" in licences.sentence(backbones.get(name).facts)


def test_doctor_loads_runs_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from PIL import Image

    with shelved("gigapath") as [name]:
        facts = backbones.get(name).facts
        net = build(Architecture(name, facts.size_px, "cls"), seed=5).eval()
        state = {k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}
        save_file(state, tmp_path / "w.safetensors")
        checks = {c.name: c for c in proof.examine(name, str(tmp_path / "w.safetensors"))}
        assert checks["strict loading"].ok and checks["a grey picture"].ok
        assert not checks["publisher's example"].ok
        picture, embedding = (tmp_path / file for file in facts.example or ("", ""))
        picture.parent.mkdir()
        image = torch.randint(0, 256, (96, 96, 3), dtype=torch.uint8)
        Image.fromarray(image.numpy()).save(picture)
        with torch.inference_mode():
            ours = net(image.permute(2, 0, 1)[None] / 255).embedding_BD
        torch.save(ours.clone(), embedding)
        checks = {c.name: c for c in proof.examine(name, str(tmp_path / "w.safetensors"))}
        assert "parity" in checks["publisher's example"].found
        torch.save(torch.randn_like(ours), embedding)
        checks = {c.name: c for c in proof.examine(name, str(tmp_path / "w.safetensors"))}
        assert not checks["publisher's example"].ok and checks["publisher's example"].must
        state["norm.bias"] = torch.full_like(state["norm.bias"], float("nan"))
        save_file(state, tmp_path / "w.safetensors")
        assert not {c.name: c for c in proof.examine(name, str(tmp_path / "w.safetensors"))}["a grey picture"].ok
        state.pop("norm.bias")
        save_file(state, tmp_path / "w.safetensors")
        assert not {c.name: c for c in proof.examine(name, str(tmp_path / "w.safetensors"))}["strict loading"].ok
