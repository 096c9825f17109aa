"""A test set with all labels flipped changes nothing in a trained run, its calibration or its thresholds."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from mitotype import datasets
from mitotype.core import files, tables
from mitotype.core.errors import UserError
from mitotype.core.schema import Cohort
from mitotype.fit import recipe as recipes
from mitotype.fit import run
from mitotype.fit.recipe import Recipe

FLIPPED = {"Atypical": "Normal", "Normal": "Atypical"}


def flip_test_labels(root: Path, copy: Path) -> None:
    """Copy the benchmark's layout with every test image in the folder of the other class."""
    train = set(pd.read_csv(root / "amibr_train_split.csv")["dataset_uid"])
    copy.mkdir()
    (copy / "amibr_train_split.csv").symlink_to(root / "amibr_train_split.csv")
    for dataset in ("AMi-Br", "AtNorM-Br"):
        for name, other in FLIPPED.items():
            (copy / dataset / name).mkdir(parents=True, exist_ok=True)
            (copy / dataset / other).mkdir(parents=True, exist_ok=True)
            for file in os.scandir(root / dataset / name):
                label = name if dataset == "AMi-Br" and file.name in train else other
                (copy / dataset / label / file.name).symlink_to(file.path)


def trained(root: Path, tiny: Recipe, folder: Path) -> Path:
    cohort = datasets.read(str(root), part="train")[0]
    few = cohort.rows["case_id"].isin(sorted(set(cohort.rows["case_id"]))[:24])
    return run.start(recipes.with_settings(tiny, ["epochs=1", "batch=16"]), cohort.take(few), folder)


@pytest.mark.real
@pytest.mark.usefixtures("one_thread")
def test_flipped_test_labels_change_nothing(shared_data: Path, tiny: Recipe, tmp_path: Path) -> None:
    root = shared_data / "AMi-Br_Benchmark"
    flip_test_labels(root, tmp_path / "flipped")
    with pytest.raises(UserError, match=r"(?s)746 errors.* in atnorm-br it is normal"):
        datasets.read(str(tmp_path / "flipped" / "AtNorM-Br"), part="test")
    clean, flipped = trained(root, tiny, tmp_path / "a"), trained(tmp_path / "flipped", tiny, tmp_path / "b")
    for file in (
        "decision.json",
        "ood.json",
        *(str(p.relative_to(clean)) for p in clean.glob("members/*/model.safetensors")),
    ):
        assert files.sha256(clean / file) == files.sha256(flipped / file), file
    ours, theirs = (tables.read_stored(folder / "scores.parquet") for folder in (clean, flipped))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_the_test_part_is_not_trained_on(shared_data: Path) -> None:
    cohort: Cohort = datasets.read(str(shared_data / "AMi-Br_Benchmark"), part="train")[0]
    split = pd.read_csv(shared_data / "AMi-Br_Benchmark" / "amibr_train_split.csv")
    assert set(cohort.rows["patch_id"]) == {f"amibr/{Path(name).stem}" for name in split["dataset_uid"]}
