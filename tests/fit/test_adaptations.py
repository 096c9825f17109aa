"""Every family, as a tiny sibling with a weights file and no network: probed, adapted, tuned, written, read, scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mitotype.backbones import adapters, backbones
from mitotype.backbones.classifier import Architecture, build
from mitotype.core import files, pictures
from mitotype.core.mistakes import Mistake
from mitotype.core.words import Cohort
from mitotype.deploy import classify, make, scorer
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe
from mitotype.scores import table
from tests.backbones.siblings import TRANSFORMERS, shelved

pytestmark = pytest.mark.usefixtures("one_thread", "offline")
FAMILIES = (  # one of every file
    "uni2-h", "virchow2", "gigapath", "h-optimus-0", "hibou-b", "phikon-v2", "midnight-12k", "kaiko-l14", "lunit-s16", "gpfm",
    "vit-l16", "dinov2-vitb14", "dinov3-h+", "swin-base", "convnext-base", "convnextv2-tiny",
    "efficientnetv2-m",
)  # fmt: skip
ADAPTATIONS = ("probe", "lora(4, 8)", "prompts(2)", "full(0.9)")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def weights_file(name: str, folder: Path) -> Path:
    """Random weights of a backbone as its publisher would name them (timm's names), as one file.

    The scales of residual branches, which start at 1e-5, are 0.5: else no block has a say, and so no adapter.
    """
    facts = backbones.get(name).facts
    net = build(Architecture(name, facts.grid_px, facts.default_pooling), seed=5)
    state = {k: v.fill_(0.5) if "gamma" in k else v.contiguous() for k, v in net.trunk.state_dict().items()}
    path = folder / f"{name}.safetensors"
    prefix = "net." if facts.keys == "timm" else ""
    save_file({k.removeprefix(prefix): v for k, v in state.items()}, path)
    return path


def short(name: str, adaptation: str, init_from: Path) -> Recipe:
    facts = backbones.get(name).facts
    return Recipe(
        name="short", backbone=name, size_px=facts.size_px, init_from=str(init_from), adaptation=adaptation,
        augment="d4 | crop(64)", views="flip", epochs=1, batch=16, warmup_epochs=0.0, folds="2", precision="fp32", ema_decay=0.5,
        flag=0,
    )  # fmt: skip


def heard(folder: Path, member: str, cohort: Cohort) -> np.ndarray:
    """The logits of a run's member on pictures, through what people use."""
    opened = scorer.open_scorer(str(folder))
    rows, _ = opened.rows(list(cohort.rows["patch_id"]), pictures.pack(cohort).image_N3HW)
    return rows[rows["member"] == member].sort_values(["patch_id", "view"])["logit"].to_numpy()


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_the_whole_road(family: str, adaptation: str, drawn_cohort: Cohort, tmp_path: Path) -> None:
    if adaptation.startswith("prompts") and family not in TRANSFORMERS:
        pytest.skip("no tokens")
    if adaptation.startswith("lora") and backbones.get(family).facts.lora_targets is None:
        pytest.skip("LoRA is not offered")
    with shelved(family) as [name]:
        recipe = short(name, adaptation, weights_file(name, tmp_path))
        folder = run.start(recipe, drawn_cohort, tmp_path / "run")
        rows = table.read(folder).scores
        mine = rows[rows["member"] == "fold1-seed0"].sort_values(["patch_id", "view"])
        left = drawn_cohort.take(drawn_cohort.rows["patch_id"].isin(mine["patch_id"]))
        np.testing.assert_allclose(heard(folder, "fold1-seed0", left), mine["logit"], atol=2e-3)
        kept = load_file(folder / "members" / "fold1-seed0" / "model.safetensors")
        told = files.read_json(folder / "members" / "fold1-seed0" / "member.json")
        whole = adaptation.startswith("full")
        assert bool(told["architecture"]["base"]) != whole
        assert told["base"]["digest"] == files.sha256(tmp_path / f"{name}.safetensors")
        if not whole:
            new = {"probe": "head.", "lora(4, 8)": "lora_", "prompts(2)": "prompts"}[adaptation]
            assert any(new in key for key in kept)
            assert all(key.startswith("head.") or new in key for key in kept)
        assert (folder / "DONE").is_file()


@pytest.mark.parametrize(("adaptation", "new"), [("lora(4, 8)", "lora_"), ("prompts(2)", "prompts")])
def test_what_an_adapter_keeps_is_heard(adaptation: str, new: str, drawn_cohort: Cohort, tmp_path: Path) -> None:
    with shelved("uni2-h") as [name]:
        recipe = recipes.with_settings(short(name, adaptation, weights_file(name, tmp_path)), ["lr=0.05", "epochs=3"])
        folder = run.start(recipe, drawn_cohort, tmp_path / "run")
        told = heard(folder, "fold1-seed0", drawn_cohort)
        place = folder / "members" / "fold1-seed0"
        kept = load_file(place / "model.safetensors")
        save_file({k: v * (new not in k) for k, v in kept.items()}, place / "model.safetensors")
        digest = files.digest_of((place / "model.safetensors").read_bytes())
        files.write_json(place / "member.json", files.read_json(place / "member.json") | {"digest": digest})
        assert np.abs(heard(folder, "fold1-seed0", drawn_cohort) - told).max() > 0.05


@pytest.mark.parametrize("adaptation", ["knn(5)", "prototype", "head", "lora(4, last=1)", "lora(4, rs=1)", "lora(4, dora=1)",
                                        "prompts(2, last=2)", "full(last=1)"])  # fmt: skip
def test_the_other_adaptations_too(adaptation: str, drawn_cohort: Cohort, tmp_path: Path) -> None:
    with shelved("uni2-h") as [name]:
        folder = run.start(short(name, adaptation, weights_file(name, tmp_path)), drawn_cohort, tmp_path / "run")
        mine = table.read(folder).scores
        mine = mine[mine["member"] == "fold2-seed0"].sort_values(["patch_id", "view"])
        left = drawn_cohort.take(drawn_cohort.rows["patch_id"].isin(mine["patch_id"]))
        np.testing.assert_allclose(heard(folder, "fold2-seed0", left), mine["logit"], atol=2e-3)


def test_a_probe_finds_what_a_frozen_trunk_shows(drawn_cohort: Cohort, tmp_path: Path) -> None:
    """Even random features tell bars from dots: a floor under the solver, not a result."""
    from sklearn.metrics import roc_auc_score

    with shelved("h0-mini") as [name]:
        base = weights_file(name, tmp_path)
        for adaptation in ("probe", "knn(5)", "prototype"):
            folder = run.start(short(name, adaptation, base), drawn_cohort, tmp_path / adaptation)
            scores = table.read(folder)
            rows = scores.joined(scores.scores.groupby(["patch_id", "part"], as_index=False)["logit"].mean())
            assert roc_auc_score(rows["label"], rows["logit"]) > 0.75, adaptation


def test_a_feature_is_a_member_that_speaks(drawn_cohort: Cohort, tmp_path: Path) -> None:
    recipe = Recipe(name="floor", backbone="morphology", size_px=64, adaptation="probe", augment="crop(64)", views="identity",
                    folds="2", refit=1)  # fmt: skip
    folder = run.start(recipe, drawn_cohort, tmp_path / "run")
    bundle = make.bundle(folder, tmp_path / "bundle", name="floor")
    opened = scorer.open_scorer(str(bundle))
    assert opened.members == ("all-seed0",)
    [answer] = classify.classify(opened, classify.gather([drawn_cohort.rows["path"].iloc[0]]), words=True)
    assert answer.words and all(sentence.startswith("the chromatin ") for sentence in answer.plain()["words"])
    with pytest.raises(Mistake, match="none can speak"):
        classify.classify(scorer.open_scorer("default"), [], words=True)
    head = bundle / "members" / "all-seed0" / "head.json"
    head.write_text(head.read_text().replace("0", "1", 1))
    with pytest.raises(Mistake, match=r"was changed"):
        scorer.open_scorer(str(bundle))


def test_a_bundle_takes_its_own_base_along_and_names_a_published_one(drawn_cohort: Cohort, tmp_path: Path) -> None:
    with shelved("uni", "h-optimus-0", "vit-mini8") as [uni, open_one, mini]:
        bundles = {}
        for name in (uni, open_one, mini):
            recipe = short(name, "lora(2)", weights_file(name, tmp_path))
            folder = run.start(recipes.with_settings(recipe, ["refit=1"]), drawn_cohort, tmp_path / f"run-{name}")
            bundles[name] = make.bundle(folder, tmp_path / f"bundle-{name}", name=name)
            if name == uni:
                assert "may not be shared" in (bundles[name] / "card.md").read_text()
                with pytest.raises(Mistake, match="may not be passed on"):
                    make.bundle(folder, tmp_path / "never", name=name, with_base=True)
            if name == open_one:
                with_base = make.bundle(folder, tmp_path / "with-base", name=name, with_base=True)
        assert len(list(bundles[mini].glob("bases/*.safetensors"))) == 1
        assert not list(bundles[uni].glob("bases/*")) and not list(bundles[open_one].glob("bases/*"))
        for file in tmp_path.glob("*.safetensors"):
            file.unlink()
        for bundle in (bundles[mini], with_base):
            assert scorer.open_scorer(str(bundle)).members == ("all-seed0",)
        shutil.rmtree(with_base)
        with pytest.raises(Mistake, match="not known on this machine"):
            scorer.open_scorer(str(bundles[open_one]))


@pytest.mark.parametrize("text", ["lora(0)", "lora(8, 16, 0.95)", "lora(1.5)", "prompts(8, 9)", "tune", "probe(3)", "knn(k=x)",
                                  "full(1.5)", "probe(last=1)", "lora | probe", ""])  # fmt: skip
def test_adaptations_that_are_none(text: str) -> None:
    with pytest.raises(Mistake):
        adapters.read(text)


def test_random_weights_are_not_adapted() -> None:
    with pytest.raises(Mistake, match="measures nothing"):
        recipes.with_settings(short("vit-mini8", "lora(8)", Path("x")), ["init_from="]).check()
