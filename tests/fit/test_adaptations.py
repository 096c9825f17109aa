"""Every family, as a tiny sibling with a weights file and no network: probed, adapted, fine-tuned, written, read, scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from mitotype.backbones import backbones
from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.classifier import Architecture, build
from mitotype.core import files, records
from mitotype.core.errors import UserError
from mitotype.core.packing import pack_images
from mitotype.core.schema import Cohort
from mitotype.deploy import classify, from_run, predictor
from mitotype.deploy.sources import list_images
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.fit.validate import validate_recipe
from mitotype.scores import table
from tests.backbones.siblings import TRANSFORMERS, registered_siblings

pytestmark = pytest.mark.usefixtures("one_thread", "offline")
FAMILIES = (  # a backbone of every file
    "uni2-h", "virchow2", "gigapath", "h-optimus-0", "hibou-b", "phikon-v2", "midnight-12k", "kaiko-l14", "lunit-s16", "gpfm",
    "vit-l16", "dinov2-vitb14", "dinov3-h+", "swin-base", "convnext-base", "convnextv2-tiny",
    "efficientnetv2-m",
)  # fmt: skip
ADAPTATIONS = ("probe", "lora(4, 8)", "prompts(2)", "full(0.9)")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def weights_file(name: str, folder: Path) -> Path:
    """Return a file of random weights of a backbone with its publisher's names (timm's).

    The scales of residual branches are 0.5 instead of 1e-5, so that blocks and adapters have an effect.
    """
    spec = backbones.get(name).spec
    net = build(Architecture(name, spec.pretrained_size_px, spec.default_pooling), seed=5)
    state = {k: v.fill_(0.5) if "gamma" in k else v.contiguous() for k, v in net.trunk.state_dict().items()}
    path = folder / f"{name}.safetensors"
    prefix = "net." if spec.state_dict_format == "timm" else ""
    save_file({k.removeprefix(prefix): v for k, v in state.items()}, path)
    return path


def short(name: str, adaptation: str, init_from: Path) -> Recipe:
    spec = backbones.get(name).spec
    return Recipe(
        name="short", backbone=name, size_px=spec.size_px, init_from=str(init_from), adaptation=adaptation,
        augment="d4 | crop(64)", tta="flip", epochs=1, batch=16, warmup_epochs=0.0, folds="2", precision="fp32", ema_decay=0.5,
        ood_flag=0,
    )  # fmt: skip


def predicted(folder: Path, member: str, cohort: Cohort) -> np.ndarray:
    """Return the logits of a run's member on images, through the public predictor."""
    opened = predictor.open_predictor(str(folder))
    outputs, _ = opened.predict(pack_images(cohort).image_N3HW)
    logit = next(output.logit for output in outputs if output.name == member)
    rows = table.member_rows(list(cohort.rows["patch_id"]), logit, part="test", fold=0, member=member)
    return rows.astype({"patch_id": str, "view": str}).sort_values(["patch_id", "view"])["logit"].to_numpy()


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_fitted_stored_and_scored(family: str, adaptation: str, toy_cohort: Cohort, tmp_path: Path) -> None:
    if adaptation.startswith("prompts") and family not in TRANSFORMERS:
        pytest.skip("no tokens")
    if adaptation.startswith("lora") and backbones.get(family).spec.lora_targets is None:
        pytest.skip("LoRA is not offered")
    with registered_siblings(family) as [name]:
        recipe = short(name, adaptation, weights_file(name, tmp_path))
        folder = run.start(recipe, toy_cohort, tmp_path / "run")
        rows = table.read(folder).scores
        stored = (
            rows[rows["member"] == "fold1-seed0"]
            .astype({"patch_id": str, "view": str})
            .sort_values(["patch_id", "view"])
        )
        left = toy_cohort.take(toy_cohort.rows["patch_id"].isin(stored["patch_id"]))
        np.testing.assert_allclose(predicted(folder, "fold1-seed0", left), stored["logit"], atol=2e-3)
        tensors = load_file(folder / "members" / "fold1-seed0" / "model.safetensors")
        metadata = json.loads((folder / "members" / "fold1-seed0" / "member.json").read_bytes())
        is_full = adaptation.startswith("full")
        assert bool(metadata["architecture"]["base"]) != is_full
        assert metadata["base"]["digest"] == files.sha256(tmp_path / f"{name}.safetensors")
        if not is_full:
            new = {"probe": "head.", "lora(4, 8)": "lora_", "prompts(2)": "prompts"}[adaptation]
            assert any(new in key for key in tensors)
            assert all(key.startswith("head.") or new in key for key in tensors)
        assert (folder / "DONE").is_file()


@pytest.mark.parametrize(("adaptation", "new"), [("lora(4, 8)", "lora_"), ("prompts(2)", "prompts")])
def test_stored_adapters_have_an_effect(adaptation: str, new: str, toy_cohort: Cohort, tmp_path: Path) -> None:
    with registered_siblings("uni2-h") as [name]:
        recipe = recipes.with_settings(short(name, adaptation, weights_file(name, tmp_path)), ["lr=0.05", "epochs=3"])
        folder = run.start(recipe, toy_cohort, tmp_path / "run")
        before = predicted(folder, "fold1-seed0", toy_cohort)
        member_dir = folder / "members" / "fold1-seed0"
        tensors = load_file(member_dir / "model.safetensors")
        save_file({k: v * (new not in k) for k, v in tensors.items()}, member_dir / "model.safetensors")
        digest = files.digest_of((member_dir / "model.safetensors").read_bytes())
        records.write(
            member_dir / "member.json", json.loads((member_dir / "member.json").read_bytes()) | {"digest": digest}
        )
        assert np.abs(predicted(folder, "fold1-seed0", toy_cohort) - before).max() > 0.05


@pytest.mark.parametrize("adaptation", ["knn(5)", "prototype", "head", "lora(4, last=1)", "lora(4, rs=1)", "lora(4, dora=1)",
                                        "lora(4, targets=all)",
                                        "prompts(2, last=2)", "full(last=1)"])  # fmt: skip
def test_the_other_adaptations_are_fitted_and_scored(adaptation: str, toy_cohort: Cohort, tmp_path: Path) -> None:
    with registered_siblings("uni2-h") as [name]:
        folder = run.start(short(name, adaptation, weights_file(name, tmp_path)), toy_cohort, tmp_path / "run")
        stored = table.read(folder).scores
        stored = (
            stored[stored["member"] == "fold2-seed0"]
            .astype({"patch_id": str, "view": str})
            .sort_values(["patch_id", "view"])
        )
        left = toy_cohort.take(toy_cohort.rows["patch_id"].isin(stored["patch_id"]))
        np.testing.assert_allclose(predicted(folder, "fold2-seed0", left), stored["logit"], atol=2e-3)


def test_a_probe_separates_the_classes_on_a_frozen_trunk(toy_cohort: Cohort, tmp_path: Path) -> None:
    """Even random features separate bars from dots: a baseline for the solver, not a result."""
    with registered_siblings("h0-mini") as [name]:
        base = weights_file(name, tmp_path)
        for adaptation in ("probe", "knn(5)", "prototype"):
            folder = run.start(short(name, adaptation, base), toy_cohort, tmp_path / adaptation)
            scores = table.read(folder)
            rows = scores.joined(scores.scores.groupby(["patch_id", "part"], as_index=False)["logit"].mean())
            assert roc_auc_score(rows["label"], rows["logit"]) > 0.75, adaptation


def test_a_feature_is_a_member_that_explains_itself(toy_cohort: Cohort, tmp_path: Path) -> None:
    recipe = Recipe(name="floor", backbone="morphology", size_px=64, adaptation="probe", augment="crop(64)", tta="identity",
                    folds="2", n_final_models=1)  # fmt: skip
    folder = run.start(recipe, toy_cohort, tmp_path / "run")
    bundle = from_run.bundle_from_run(folder, tmp_path / "bundle", name="floor")
    opened = predictor.open_predictor(str(bundle))
    assert opened.members == ("all-seed0",)
    [prediction] = classify.classify(opened, list_images([toy_cohort.rows["path"].iloc[0]]), explain=True)
    assert prediction.explanation
    assert all(phrase.startswith("the chromatin ") for phrase in prediction.explanation)
    with pytest.raises(UserError, match="nothing to explain"):
        classify.classify(predictor.open_predictor("default"), [], explain=True)
    head = bundle / "members" / "all-seed0" / "head.json"
    head.write_text(head.read_text().replace("0", "1", 1))
    with pytest.raises(UserError, match=r"was changed"):
        predictor.open_predictor(str(bundle))


def test_a_bundle_contains_an_own_base_and_names_a_published_one(toy_cohort: Cohort, tmp_path: Path) -> None:
    with registered_siblings("uni", "h-optimus-0", "vit-mini8") as [uni, open_one, mini]:
        bundles = {}
        for name in (uni, open_one, mini):
            recipe = short(name, "lora(2)", weights_file(name, tmp_path))
            folder = run.start(
                recipes.with_settings(recipe, ["n_final_models=1"]), toy_cohort, tmp_path / f"run-{name}"
            )
            bundles[name] = from_run.bundle_from_run(folder, tmp_path / f"bundle-{name}", name=name)
            if name == uni:
                assert "may not be shared" in (bundles[name] / "card.md").read_text()
                with pytest.raises(UserError, match="may not be passed on"):
                    from_run.bundle_from_run(folder, tmp_path / "never", name=name, with_base=True)
            if name == open_one:
                with_base = from_run.bundle_from_run(folder, tmp_path / "with-base", name=name, with_base=True)
        assert len(list(bundles[mini].glob("bases/*.safetensors"))) == 1
        assert not list(bundles[uni].glob("bases/*")) and not list(bundles[open_one].glob("bases/*"))
        for file in tmp_path.glob("*.safetensors"):
            file.unlink()
        for bundle in (bundles[mini], with_base):
            assert predictor.open_predictor(str(bundle)).members == ("all-seed0",)
        shutil.rmtree(with_base)
        with pytest.raises(UserError, match="not on this machine"):
            predictor.open_predictor(str(bundles[open_one]))


@pytest.mark.parametrize("text", ["lora(0)", "lora(8, 16, 0.95)", "lora(1.5)", "prompts(8, 9)", "tune", "probe(3)", "knn(k=x)",
                                  "full(1.5)", "probe(last=1)", "lora | probe", ""])  # fmt: skip
def test_invalid_adaptations(text: str) -> None:
    with pytest.raises(UserError):
        adaptations.build(text)


def test_adapting_random_weights_is_an_error() -> None:
    with pytest.raises(UserError, match="measures nothing"):
        validate_recipe(recipes.with_settings(short("vit-mini8", "lora(8)", Path("x")), ["init_from="]))
