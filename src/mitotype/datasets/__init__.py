"""Datasets: a folder on disk → a Cohort. `read` takes PATH or NAME=PATH; each dataset is a file in `readers`.

In every cohort `label`, `votes_for`, `votes`, `x_px` and `y_px` are float64 with nan where unknown, and text is "" where
unknown, so that columns keep their types when cohorts are joined and no group is lost.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mitotype.core import walk
from mitotype.core.errors import UserError, unknown_name
from mitotype.core.schema import Cohort
from mitotype.datasets import layout
from mitotype.datasets.dataset import Dataset, Part, Source, datasets, named_parts

__all__ = ["PARTS", "Dataset", "Part", "Source", "datasets", "read"]

PARTS = ("train", "test", "all")


def read(source: str, *, part: str, mpp_um: float | None = None) -> list[Cohort]:
    """Return the cohorts at PATH or NAME=PATH, as in `../AMi-Br_Benchmark` or `amibr-test=../AMi-Br_Benchmark`.

    The folder that a dataset was fetched into is accepted as well. Paths of images are absolute, so that a run can be
    resumed from any folder.

    Parameters
    ----------
    part : "train" for the patches to train on, "test" for those to evaluate on, "all" for both. For the root of the
        benchmark "train" is AMi-Br's 2,894 training patches and "test" every test cohort that is present (amibr-test,
        atnorm-br, atnorm-md). A dataset without a published split returns all its patches for each part.
    mpp_um : µm/px of the images if it is not 0.25

    Raises a UserError for an absent path, an unknown name or part, and whatever the reader of the dataset rejects.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS, "--help")
    name, path = _parse(source)
    if name and name not in datasets:
        name, own = named_parts()[name]
        if part == "train" and own.is_test_set:
            trainable = [known for known, other in datasets.get(name).parts.items() if not other.is_test_set]
            fix = f"give {trainable[0]}=… instead" if trainable else "choose other data"
            raise UserError(f"'{source}' is a test set and is not trained on.", fix=fix)
        return [_read(name, _dataset_folder(path, name), own.split, mpp_um)]
    if name:
        return [_read(name, _dataset_folder(path, name), part, mpp_um)]
    path = _dataset_folder(path)
    members = _benchmark_members(path)
    if part == "train":
        members = [name for name in members if not datasets.get(name).is_test_only] or members
    return [_read(member, path, part, mpp_um) for member in members or [_detect(path) or "folder"]]


def _parse(source: str) -> tuple[str, Path]:
    """Return the name ("" if none is given) and the path."""
    name, equals, rest = source.partition("=")
    if not equals or walk.exists(Path(source)):
        name, rest = "", source
    elif name not in datasets and name not in named_parts():
        raise unknown_name("dataset", name, dict.fromkeys([*datasets.names(), *named_parts()]), "mitotype datasets")
    path = walk.expanded(rest)
    if not walk.exists(walk.check_name(path)):
        raise UserError(f"There is nothing at '{path}'.", fix="fix the path, or get the data: mitotype fetch --help")
    return name, path


def _detect(path: Path) -> str:
    """Return the published dataset whose layout `path` has, or ""."""
    return next((name for name in datasets.names() if name != "folder" and datasets.get(name).detect(path)), "")


def _dataset_folder(path: Path, name: str = "") -> Path:
    """Return `path`, or the folder directly inside it that `fetch` makes for a dataset (of `name`, if given)."""
    candidates = [datasets.get(n) for n in ([name] if name else datasets.names())]
    titles = {PurePosixPath(s.save_as).parts[0] for dataset in candidates for s in dataset.sources if s.unpack}
    children = [child for title in sorted(titles) if (child := layout.find_child(path, title)) and child.is_dir()]
    if not children or _benchmark_members(path) or (candidates[0].detect(path) if name else _detect(path)):
        return path
    if len(children) > 1:
        shown = ", ".join(str(child) for child in children)
        raise UserError(f"'{path}' holds several datasets.", allowed=shown, fix="give the paths of those to read")
    return children[0]


def _benchmark_members(path: Path) -> list[str]:
    """Return the datasets that the benchmark's root holds; empty for any other folder."""
    if layout.find_child(path, "amibr_train_split.csv") is None:
        return []
    known = {name: datasets.get(name) for name in datasets.names()}
    folders = {name: layout.find_child(path, dataset.title) for name, dataset in known.items() if dataset.in_benchmark}
    return [name for name, folder in folders.items() if folder and len(layout.class_folders(folder)) == 2]


def _read(name: str, path: Path, part: str, mpp_um: float | None) -> Cohort:
    dataset = datasets.get(name)
    cohort = dataset.read(path, part, mpp_um)
    absolute = [str(Path(image).absolute()) if image else "" for image in cohort.rows["path"]]
    notes = cohort.notes
    if part == "train" and dataset.is_test_only:
        notes = (*notes, f"{name}: published as a test set; a model trained on it cannot be tested on it")
    return Cohort(cohort.name, cohort.rows.assign(path=absolute), notes)
