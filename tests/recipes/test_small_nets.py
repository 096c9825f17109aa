"""Both recipes of the challenge on small nets, without a network: every ingredient is on, and each run is completed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mitotype.api import ensemble_training, scoring, training
from mitotype.core import tables
from mitotype.core.run_layout import names, read_ensemble, read_run, read_scores
from mitotype.core.schema import Cohort
from mitotype.experiments.ablation.subject import Subject

SHORT = ["epochs=3", "batch=16", "warmup_epochs=0.5"]
DOMAIN_AWARE = {
    "MixUp", "soft labels", "adaptive focal loss", "supervised contrastive loss", "domain adversary", "sampling by domain",
    "hard-negative mining", "stain augmentation", "averaged weights (EMA)",
}  # fmt: skip
OF_ENSEMBLE = {
    "soft labels", "fisheye", "Fourier domain adaptation", "stain augmentation", "averaged weights (EMA)",
}  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(toy_cohort: Cohort, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = training.load_recipe("pretrain", ["epochs=1", "batch=16", "warmup_epochs=0"])
    return training.train(recipe, toy_cohort, out=tmp_path_factory.mktemp("pretrained") / "run", device="cpu").dir


def test_the_domain_aware_recipe_by_lora(pretrained: Path, toy_cohort: Cohort, tmp_path: Path) -> None:
    settings = [*SHORT, "backbone=vit-mini8", f"init_from={pretrained}", "folds=2"]
    recipe = training.load_recipe("giedziun2025", settings)
    assert {part.name for part in Subject(recipe).ingredients()} == DOMAIN_AWARE
    run = training.train(recipe, toy_cohort, out=tmp_path / "run", device="cpu")
    assert read_run(run.dir).finished and recipe.adaptation.startswith("lora")
    scores = read_scores(run.dir)
    assert len(scores) == 2 * len(toy_cohort.rows) and scores["view"].nunique() == 2
    evaluation = scoring.evaluate(run.dir, part="out-of-fold", n_boot=50)
    titles = [variant.title for variant in evaluation.entries[0].variants]
    assert titles == ["as decided", "uncalibrated at 0.5", "mean of probabilities at 0.5"]


def test_the_ensemble_by_lora_and_full_tuning(pretrained: Path, toy_cohort: Cohort, tmp_path: Path) -> None:
    settings = [*SHORT, "folds=2", f"vit-mini8.init_from={pretrained}"]
    settings += ["d4resnet-tiny.init_from=", "d4resnet-tiny.adaptation=full", "d4resnet-tiny.lr=1e-3"]
    recipe = ensemble_training.load_ensemble_recipe("ochi2025", settings, ["vit-mini8", "d4resnet-tiny"])
    assert {part.name for part in Subject(recipe).ingredients()} == OF_ENSEMBLE
    ensemble = ensemble_training.train_ensemble(recipe, toy_cohort, out=tmp_path / "ensemble", device="cpu")
    sources = [ensemble.dir / source.path for source in read_ensemble(ensemble.dir).sources]
    assert recipe.combiner == "stack" and len(sources) == 2 and all(map(names.is_finished, sources))
    assert len(tables.read(ensemble.dir / names.COMBINED)) == len(toy_cohort.rows)
