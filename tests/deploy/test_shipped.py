"""The shipped bundles on real pictures: they give their cards' numbers; the first flags what is no centred figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from mitotype.core import pictures
from mitotype.deploy import bundle, classify
from mitotype.deploy.scorer import Scorer, open_scorer

UNLIKE = "unlike the training figures"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return open_scorer("default")


@pytest.mark.real
@pytest.mark.parametrize("name", ["default", "morphology"])
def test_classify_gives_the_cards_numbers_on_atnorm_br(name: str, shared_data: Path) -> None:
    scorer = open_scorer(name)
    answers = classify.classify(scorer, classify.gather([str(shared_data / "AMi-Br_Benchmark" / "AtNorM-Br")]))
    label = np.array([Path(answer.path).parent.name == "Atypical" for answer in answers])
    said = np.array([answer.klass == "atypical" for answer in answers])
    told = bundle.read(scorer.where)["told"]["test"]
    entry = next(entry for entry in told["entries"] if entry["dataset"] == "atnorm-br")
    card = next(variant for variant in entry["variants"] if variant["key"] == "all_files")["metrics"]
    assert len(answers) == 746
    assert (said[label].mean() + (~said[~label]).mean()) / 2 == pytest.approx(
        card["balanced_accuracy"]["value"], abs=2e-3
    )
    assert roc_auc_score(label, [answer.probability for answer in answers]) == pytest.approx(
        card["auroc"]["value"], abs=1e-4
    )


@pytest.fixture(scope="module")
def training_pictures(shared_data: Path) -> list[np.ndarray]:
    """Every eighteenth training patch: no test picture is looked at."""
    root = shared_data / "AMi-Br_Benchmark"
    rows = pd.read_csv(root / "amibr_train_split.csv").iloc[::18]
    return [
        pictures.read(root / "AMi-Br" / label / name)
        for label, name in zip(rows["final_label"], rows["dataset_uid"], strict=True)
    ]


def flagged(scorer: Scorer, images: list[np.ndarray], folder: Path) -> float:
    """The share of pictures that are called unlike the training figures."""
    for number, image in enumerate(images):
        Image.fromarray(np.ascontiguousarray(image)).save(folder / f"{number}.png")
    answers = classify.classify(scorer, classify.gather([str(folder)]))
    return float(np.mean([UNLIKE in answer.flags for answer in answers]))


@pytest.mark.real
def test_real_figures_are_seldom_flagged(scorer: Scorer, training_pictures: list[np.ndarray], tmp_path: Path) -> None:
    assert flagged(scorer, training_pictures, tmp_path) < 0.05


@pytest.mark.real
@pytest.mark.parametrize("shift", [(30, 0), (0, -31), (32, 32), (-30, 30)])
def test_windows_beside_the_figure_are_flagged(
    scorer: Scorer, training_pictures: list[np.ndarray], tmp_path: Path, shift: tuple[int, int]
) -> None:
    down, right = shift
    windows = [image[32 + down : 96 + down, 32 + right : 96 + right] for image in training_pictures]
    assert flagged(scorer, windows, tmp_path) > 0.85


@pytest.mark.real
def test_blank_tissue_is_flagged(scorer: Scorer, training_pictures: list[np.ndarray], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blank = []
    for image in training_pictures:
        colour = np.quantile(image.reshape(-1, 3), 0.8, axis=0)
        blank.append(np.clip(colour + rng.normal(0, 3, (64, 64, 3)), 0, 255).astype(np.uint8))
    assert flagged(scorer, blank, tmp_path) > 0.9
    white = [np.full((64, 64, 3), 245, np.uint8)]
    (tmp_path / "white").mkdir()
    assert flagged(scorer, white, tmp_path / "white") == 1.0
