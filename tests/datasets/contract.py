"""What every reader fulfils on a tiny folder of its dataset: `check_reader`, also for a dataset from outside the package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mitotype.core.schema import COHORT_COLUMNS, Cohort
from mitotype.datasets import layout
from mitotype.datasets.dataset import Dataset, datasets

TEXT = ("patch_id", "path", "case_id", "domain", "scanner", "tumour", "species", "dataset")
NUMBERS = ("label", "votes_for", "votes", "mpp_um", "x_px", "y_px")
SPLITS = ("train", "test", "all")
HEAVY = ("torch", "sklearn", "skimage", "scipy", "matplotlib", "timm")


def check_reader(name: str, folder: Path, others: Iterable[Path] = ()) -> None:
    """Check the facts of a dataset, and its reader on a tiny `folder` with both classes; `others` are of other datasets."""
    dataset = datasets.get(name)
    _check_facts(name, dataset)
    assert dataset.detect(folder), f"{name} does not detect its own folder"
    for other in others:
        assert not dataset.detect(other), f"{name} detects the folder '{other}' of another dataset"
    cohorts = {split: dataset.read(folder, split, None) for split in SPLITS}
    for split, cohort in cohorts.items():
        _check_rows(name, split, cohort)
    ids = {split: set(cohort.rows["patch_id"]) for split, cohort in cohorts.items()}
    assert set(cohorts["all"].rows["label"].dropna()) == {0.0, 1.0}
    if any(part.split == "train" for part in dataset.parts.values()):
        assert not ids["train"] & ids["test"] and ids["train"] | ids["test"] == ids["all"]
        for split in ("train", "test"):
            assert set(cohorts[split].rows["part"]) == {split}
    else:
        assert ids["train"] <= ids["all"] and ids["test"] <= ids["all"]
    assert set(dataset.read(folder, "all", 0.5).rows["mpp_um"]) <= {0.5, *cohorts["all"].rows["mpp_um"]}


def _check_facts(name: str, dataset: Dataset) -> None:
    assert dataset.title and dataset.license
    assert set(dataset.counts) <= set(SPLITS) and (not dataset.counts or "all" in dataset.counts)
    splits = [part.split for part in dataset.parts.values()]
    assert len(set(splits)) == len(splits) and set(splits) <= set(SPLITS)
    for part_name, part in dataset.parts.items():
        assert part_name == (name if part.split == "all" else f"{name}-{part.split}")
        assert part.published is None or sum(dataset.counts[part.split]) == part.published.files
        assert bool(part.study) == bool(part.study_source)
    if dataset.fingerprints:
        table = dataset.fingerprints()
        assert table.index.is_unique and table["case_id"].map(bool).all() and (table["sha256"].str.len() == 16).all()
        assert not dataset.counts or len(table) == sum(dataset.counts["all"])
        assert "part" not in table or set(table["part"]) == set(splits)
    known = {*datasets.names(), *(part for other in datasets.names() for part in datasets.get(other).parts)}
    assert set(dataset.overlaps) <= known


def _check_rows(name: str, split: str, cohort: Cohort) -> None:
    rows = cohort.rows
    assert len(rows) and set(COHORT_COLUMNS) <= set(rows) and "dataset" in rows, (name, split)
    assert list(rows.index) == list(range(len(rows))) and rows["patch_id"].is_unique
    for column in TEXT:
        assert rows[column].map(lambda value: isinstance(value, str)).all(), f"{name}: {column} is not text"
    for column in set(NUMBERS) & set(rows):
        assert rows[column].dtype == "float64", f"{name}: {column} is {rows[column].dtype}"
    assert set(rows["label"].dropna()) <= {0.0, 1.0} and (rows["mpp_um"] > 0).all()
    assert (rows["case_id"] != "").all() and all(Path(path).is_file() for path in rows["path"])
    assert (rows["votes_for"].dropna() <= rows["votes"][rows["votes_for"].notna()]).all()
    for label, folder in layout.class_folders(_class_root(rows)).items():
        inside = rows["path"].map(lambda path, folder=folder: folder in Path(path).parents)
        assert set(rows["label"][inside]) <= {float(label)}
    assert all(isinstance(note, str) and note for note in cohort.notes)


def _class_root(rows: pd.DataFrame) -> Path:
    return Path(rows["path"].iloc[0]).parents[1]


def loaded_by(statement: str) -> set[str]:
    """Return the heavy libraries that are loaded after a statement in a new process."""
    code = f"import sys\n{statement}\nprint(*{{m.split('.')[0] for m in sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(shown.split()) & set(HEAVY)
