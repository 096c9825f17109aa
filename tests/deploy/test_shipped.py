"""The shipped bundles on real images: they reproduce the numbers of their cards, and the first flags images without a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from mitotype.core import images
from mitotype.core.run_layout import read_bundle
from mitotype.deploy import classify
from mitotype.deploy.predictions import Prediction
from mitotype.deploy.predictor import Predictor, open_predictor
from mitotype.deploy.sources import list_images


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return open_predictor("default")


def classified(predictor: Predictor, folder: Path) -> list[Prediction]:
    return classify.classify(predictor, list_images(folder))


@pytest.mark.real
@pytest.mark.parametrize("name", ["default", "morphology"])
def test_classify_gives_the_cards_numbers_on_atnorm_br(name: str, shared_data: Path) -> None:
    predictor = open_predictor(name)
    predictions = classified(predictor, shared_data / "AMi-Br_Benchmark" / "AtNorM-Br")
    label = np.array([Path(prediction.path).parent.name == "Atypical" for prediction in predictions])
    predicted = np.array([prediction.label_name == "atypical" for prediction in predictions])
    test = read_bundle(predictor.dir).test
    assert test is not None
    variant = next(entry for entry in test.entries if entry.dataset == "atnorm-br").variant("all_files")
    assert variant is not None
    assert len(predictions) == 746
    assert (predicted[label].mean() + (~predicted[~label]).mean()) / 2 == pytest.approx(
        variant.metrics["balanced_accuracy"].value, abs=2e-3
    )
    assert roc_auc_score(label, [prediction.probability for prediction in predictions]) == pytest.approx(
        variant.metrics["auroc"].value, abs=1e-4
    )


@pytest.fixture(scope="module")
def training_images(shared_data: Path) -> list[np.ndarray]:
    """Every eighteenth training patch: no test image is used."""
    root = shared_data / "AMi-Br_Benchmark"
    rows = pd.read_csv(root / "amibr_train_split.csv").iloc[::18]
    return [
        images.read(root / "AMi-Br" / label / name)
        for label, name in zip(rows["final_label"], rows["dataset_uid"], strict=True)
    ]


def flagged_share(predictor: Predictor, images: list[np.ndarray], folder: Path) -> float:
    """The share of images that are flagged as out of distribution."""
    for number, image in enumerate(images):
        Image.fromarray(np.ascontiguousarray(image)).save(folder / f"{number}.png")
    predictions = classified(predictor, folder)
    return float(np.mean([classify.OUT_OF_DISTRIBUTION in prediction.flags for prediction in predictions]))


@pytest.mark.real
def test_real_figures_are_seldom_flagged(
    predictor: Predictor, training_images: list[np.ndarray], tmp_path: Path
) -> None:
    assert flagged_share(predictor, training_images, tmp_path) < 0.05


@pytest.mark.real
@pytest.mark.parametrize("shift", [(30, 0), (0, -31), (32, 32), (-30, 30)])
def test_windows_beside_the_figure_are_flagged(
    predictor: Predictor, training_images: list[np.ndarray], tmp_path: Path, shift: tuple[int, int]
) -> None:
    down, right = shift
    windows = [image[32 + down : 96 + down, 32 + right : 96 + right] for image in training_images]
    assert flagged_share(predictor, windows, tmp_path) > 0.85


@pytest.mark.real
def test_blank_tissue_is_flagged(predictor: Predictor, training_images: list[np.ndarray], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blank = []
    for image in training_images:
        color = np.quantile(image.reshape(-1, 3), 0.8, axis=0)
        blank.append(np.clip(color + rng.normal(0, 3, (64, 64, 3)), 0, 255).astype(np.uint8))
    assert flagged_share(predictor, blank, tmp_path) > 0.9
    white = [np.full((64, 64, 3), 245, np.uint8)]
    (tmp_path / "white").mkdir()
    assert flagged_share(predictor, white, tmp_path / "white") == 1.0
