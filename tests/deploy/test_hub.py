"""What may be published and what may not; and the checks of a backbone's weights."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import save_file

import mitotype
from mitotype.backbones import backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.core.errors import UserError
from mitotype.core.run_layout import ArchitectureRecord, MemberRecord, WeightsSource, read_bundle
from mitotype.core.schema import Cohort
from mitotype.deploy import bundle as bundles
from mitotype.deploy import from_run, hub_card, licenses, weights_check
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from tests.backbones.siblings import registered_siblings
from tests.deploy.hub_server import Hub, Repository

pytestmark = pytest.mark.usefixtures("one_thread")


def bundled(name: str, adaptation: str, cohort: Cohort, folder: Path) -> Path:
    spec = backbones.get(name).spec
    net = build(Architecture(name, spec.pretrained_size_px, spec.default_pooling), seed=5)
    save_file(
        {k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}, folder / "w.safetensors"
    )
    recipe = Recipe(
        name="short", backbone=name, size_px=spec.size_px, init_from=str(folder / "w.safetensors"), adaptation=adaptation,
        augment="crop(64)", tta="identity", epochs=1, batch=16, warmup_epochs=0.0, folds="2", precision="fp32",
        n_final_models=1, ood_flag=0,
    )  # fmt: skip
    return from_run.bundle_from_run(run.start(recipe, cohort, folder / "run"), folder / "bundle", name="b")


@pytest.mark.parametrize("adaptation", ["full", "full(last=1)"])
def test_finetuned_weights_of_a_license_without_derivatives_are_never_uploaded(
    adaptation: str, toy_cohort: Cohort, tmp_path: Path, hub: Hub
) -> None:
    with registered_siblings("uni2-h") as [name]:
        bundle = bundled(name, adaptation, toy_cohort, tmp_path)
        for permission in (False, True):
            with pytest.raises(UserError, match="forbids sharing"):
                mitotype.push(bundle, "me/b", private=True, adapters_of_no_derivatives=permission)
    assert not hub.requests


def test_their_adapters_are_uploaded_only_with_permission_into_a_private_repository(
    toy_cohort: Cohort, tmp_path: Path, hub: Hub
) -> None:
    with registered_siblings("uni2-h") as [name]:
        bundle = bundled(name, "lora(2)", toy_cohort, tmp_path)
        with pytest.raises(UserError, match="forbids derivatives"):
            mitotype.push(bundle, "me/b", private=True)
        with pytest.raises(UserError, match="private"):
            mitotype.push(bundle, "me/b", private=False, adapters_of_no_derivatives=True)
        assert not hub.requests
        hub.repositories["me/public"] = Repository(private=False)
        with pytest.raises(UserError, match="'me/public' exists and is public"):
            mitotype.push(bundle, "me/public", private=True, adapters_of_no_derivatives=True)
        assert not hub.repositories["me/public"].commits
        mitotype.push(bundle, "me/b", private=True, adapters_of_no_derivatives=True)
        assert hub.repositories["me/b"].private
        assert not [file for file in hub.repositories["me/b"].content if file.startswith("bases/")]
        data = hub.repositories["me/b"].front_matter()
        assert data.license == "cc-by-nc-nd-4.0"


def test_a_shareable_bundle_is_uploaded_with_its_card(toy_cohort: Cohort, tmp_path: Path, hub: Hub) -> None:
    with registered_siblings("h-optimus-0") as [name]:
        bundle = bundled(name, "lora(2)", toy_cohort, tmp_path)
        (bundle / "notes.txt").write_text("not part of the bundle")
        assert mitotype.push(bundle, "me/b") == f"{hub.endpoint}/me/b"
        record, content = read_bundle(bundle), hub.repositories["me/b"].content
        assert set(content) == {*record.files, "bundle.json", "README.md"}
        assert record.run is not None and record.run.recipe["init_from"] == "w.safetensors"
        assert str(tmp_path) not in (bundle / "bundle.json").read_text()
        data = hub.repositories["me/b"].front_matter()
        assert data.base_model == ["mitotype-tests/tiny-h-optimus-0"] and data["base_model_relation"] == "adapter"
        assert (data.license, data.library_name, data.model_name) == ("apache-2.0", "mitotype", "b")
        assert b"Research Use Only" in content["README.md"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["h-optimus-0"], {"license": "apache-2.0"}), ([], {"license": "apache-2.0"}), (["phikon"], {"license": "other"}),
        (["h-optimus-0", "midnight-12k"], {"license": "other", "license_name": "apache-2.0-and-mit"}),
    ],
)  # fmt: skip
def test_the_license_on_the_page_is_that_of_the_weights(names: list[str], expected: dict[str, str]) -> None:
    record = read_bundle(bundles.shipped()["default"])
    terms = licenses.LicenseTerms(tuple(names), False, True, True)
    data = ModelCard(hub_card.readme(record, terms, "# card")).data.to_dict()
    assert expected.items() <= data.items()
    assert ("license_link" in data) == (expected["license"] == "other")


def test_a_hub_that_cannot_be_reached_is_a_user_error(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="'me/default' could not be pushed"):
        mitotype.push("default", "me/default")


@pytest.mark.parametrize(
    ("adaptation", "is_finetuned"), [("full", True), ("full(last=1)", True), ("probe", False), ("lora(2)", False)]
)
def test_a_student_has_the_terms_of_its_teachers(adaptation: str, is_finetuned: bool) -> None:
    base = WeightsSource("h-optimus-0", "0" * 64)
    teachers = [WeightsSource("uni2-h", "1" * 64), WeightsSource("vit-mini8", "2" * 64)]
    architecture = ArchitectureRecord("h-optimus-0", 224, "cls", adaptation=adaptation)
    member = MemberRecord(
        name="a", digest="3" * 64, frame="crop(64)", architecture=architecture, base=base, teacher_bases=teachers
    )
    terms = licenses.license_terms([member])
    assert terms == licenses.LicenseTerms(("h-optimus-0", "uni2-h"), is_finetuned, commercial=False, shareable=False)
    assert licenses.license_terms([msgspec.structs.replace(member, teacher_bases=[])]).shareable
    unbound = msgspec.structs.replace(member, base=None, teacher_bases=[])
    assert licenses.license_terms([unbound]) == licenses.LicenseTerms((), False, True, True)


@pytest.mark.parametrize(
    ("name", "share"),
    [("uni", "may not be shared;"), ("phikon", "may not be shared as far as is known;"), ("convnextv2-tiny", "may be shared;"),
     ("midnight-12k", "may be shared (")],
)  # fmt: skip
def test_a_license_in_one_line(name: str, share: str) -> None:
    assert f"what is trained on the weights {share}" in licenses.describe_license(backbones.get(name).spec)


def test_the_check_loads_runs_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from PIL import Image

    with registered_siblings("gigapath") as [name]:
        spec = backbones.get(name).spec
        net = build(Architecture(name, spec.size_px, "cls"), seed=5).eval()
        state = {k.removeprefix("net."): v.contiguous() for k, v in net.trunk.state_dict().items()}
        save_file(state, tmp_path / "w.safetensors")
        checks = {c.name: c for c in weights_check.check_backbone(name, str(tmp_path / "w.safetensors"))}
        assert checks["strict loading"].ok and checks["grey image"].ok
        assert not checks["publisher's example"].ok
        example, embedding = (tmp_path / file for file in spec.example or ("", ""))
        example.parent.mkdir()
        image = torch.randint(0, 256, (96, 96, 3), dtype=torch.uint8)
        Image.fromarray(image.numpy()).save(example)
        with torch.inference_mode():
            expected = net(image.permute(2, 0, 1)[None] / 255).embedding_BD
        torch.save(expected.clone(), embedding)
        checks = {c.name: c for c in weights_check.check_backbone(name, str(tmp_path / "w.safetensors"))}
        assert "parity" in checks["publisher's example"].result
        torch.save(torch.randn_like(expected), embedding)
        checks = {c.name: c for c in weights_check.check_backbone(name, str(tmp_path / "w.safetensors"))}
        assert not checks["publisher's example"].ok and checks["publisher's example"].required
        state["norm.bias"] = torch.full_like(state["norm.bias"], float("nan"))
        save_file(state, tmp_path / "w.safetensors")
        assert not {c.name: c for c in weights_check.check_backbone(name, str(tmp_path / "w.safetensors"))}[
            "grey image"
        ].ok
        state.pop("norm.bias")
        save_file(state, tmp_path / "w.safetensors")
        assert not {c.name: c for c in weights_check.check_backbone(name, str(tmp_path / "w.safetensors"))}[
            "strict loading"
        ].ok
