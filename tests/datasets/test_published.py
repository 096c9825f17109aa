"""Published results: by test set and number of files, and the study's by net and adaptation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mitotype.datasets import published
from mitotype.datasets.dataset import datasets

FILES = {"amibr-test": 826, "atnorm-br": 746, "atnorm-md": 2107}


def test_every_test_set_of_the_benchmark_has_its_best_result() -> None:
    results = published.results()
    assert {name: result.files for name, result in results.items()} == FILES
    assert results["atnorm-br"].balanced_accuracy == 0.7788
    assert all(result.source and result.floor_source for result in results.values())
    assert (published.title("amibr", 826), published.title("amibr", 825)) == ("AMi-Br test", "amibr")


def test_published_means_are_by_net_adaptation_and_test_set() -> None:
    mean = published.study_result("lora", "virchow2", "amibr-test", 826)
    assert mean is not None and mean == published.study_result("lora", "virchow2", "amibr", 826)
    assert dataclasses.astuple(mean) == (0.8135, 0.0145, 0.9026, 0.0051, (0.7914, 0.81, 0.8135, 0.8367, 0.8162))
    last = published.study_result("full", "swin-base", "atnorm-md", 2107)
    assert last is not None
    assert (last.balanced_accuracy, last.auroc_sd) == (0.7723, 0.0087)
    assert published.study_result("lora", "virchow2", "amibr-test", 800) is None
    assert published.study_result("full", "virchow2", "amibr-test", 826) is None
    assert published.study_result("full", "swin-base", "omg-octo", 1753) is None
    assert len(published.study_backbones()) == 10
    assert published.study_sources([*FILES, "elsewhere"]) == [published.STUDY_SOURCE]


@pytest.mark.parametrize("name", FILES)
def test_published_folds_have_the_published_mean_and_sd(name: str) -> None:
    part = datasets.get(name.removesuffix("-test")).parts[name]
    assert {trained: len(nets) for trained, nets in part.study.items()} == {"full": 3, "probe": 7, "lora": 7}
    for trained, nets in part.study.items():
        for result in nets.values():
            folds = result.fold_balanced_accuracy
            assert len(folds) == (0 if trained == "probe" else 5)
            if folds:
                assert np.mean(folds) == pytest.approx(result.balanced_accuracy, abs=1.01e-4)
                assert np.std(folds) == pytest.approx(result.balanced_accuracy_sd, abs=1.01e-4)
