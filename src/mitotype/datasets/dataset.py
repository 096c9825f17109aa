"""Dataset: the facts of one dataset and its reader; Part: a published part of it; Source: its published files; the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mitotype.core.registry import Registry
from mitotype.core.run_layout.evaluation import PublishedResult
from mitotype.core.schema import MPP_UM, Cohort

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Source:
    """One published file, or all files of a Zenodo record.

    Parameters
    ----------
    urls : addresses, tried in order
    save_as : the file, or with `unpack` the folder, relative to the folder of the download
    sha256 : the published digest; None records the digest of the first download
    listing : the address is a Zenodo record (https://zenodo.org/api/records/N); each of its files is checked against the
        digest in the record
    strip : number of leading folders of the archive's names that are dropped
    members : (name, sha256) of files inside an archive whose own digest is not stable
    """

    urls: tuple[str, ...]
    save_as: str
    sha256: str | None = None
    unpack: bool = False
    listing: bool = False
    strip: int = 0
    members: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StudyResult:
    """Mean and population SD over the fold models of a study, each evaluated at 0.5 on all files of a test set.

    `fold_balanced_accuracy` are the models of folds 1 … 5; empty where they were not published.
    """

    balanced_accuracy: float
    balanced_accuracy_sd: float
    auroc: float
    auroc_sd: float
    fold_balanced_accuracy: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class Part:
    """A published part of a dataset with a name of its own, as in `amibr-test=DIR` and `--hold-out amibr-test`.

    Parameters
    ----------
    split : the part as the reader takes it: "train", "test", or "all" for a dataset that is one part
    is_test_set : models are evaluated on it; training data are compared with it and are not read from it
    published : the best published result, for the report; only for as many files as it has
    study : results of a published benchmark by what was trained ("full", "lora", "probe") and by backbone
    study_source : the publication of `study`
    """

    split: str
    is_test_set: bool = False
    published: PublishedResult | None = None
    study: Mapping[str, Mapping[str, StudyResult]] = field(default_factory=dict)
    study_source: str = ""

    def __repr__(self) -> str:
        return f"{self.split} patches" + (", a test set" if self.is_test_set else "")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The facts of one dataset, a function that detects its layout and a function that reads it.

    Parameters
    ----------
    mpp_um : µm/px of the published images; None where the user states it
    counts : published patches per part, `{"train": (normal, atypical), …}`, always with "all"; empty without published counts
    parts : the published parts by their names: NAME-train, NAME-test, or NAME itself for a dataset that is one part
    overlaps : names of datasets with which this one shares slides; stating it for one of the two is enough (M006)
    known_overlaps : remarks on other datasets with the same figures, for the card
    fingerprints : () → a table of all published patches, indexed by file stem, with `case_id`, `sha256` and, where they are
        known, `pixels` and `part`: for checks without the images, see `datasets.fingerprints`
    in_benchmark : a folder called `title` in the root of the benchmark holds it
    detect : (path) → whether this folder, csv or zip has the layout of the dataset
    read : (path, part, stated µm/px or None) → Cohort. `part` is "train", "test" or "all"; a dataset without a published
        split returns all patches for each
    """

    title: str
    url: str = ""
    license: str
    citation: str = ""
    mpp_um: float | None = MPP_UM
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    overlaps: tuple[str, ...] = ()
    known_overlaps: tuple[str, ...] = ()
    fingerprints: Callable[[], pd.DataFrame] | None = None
    in_benchmark: bool = False
    sources: tuple[Source, ...] = ()
    detect: Callable[[Path], bool]
    read: Callable[[Path, str, float | None], Cohort]

    @property
    def is_test_only(self) -> bool:
        """Whether the dataset is published as an external test set, without a training part."""
        return bool(self.parts) and all(part.is_test_set for part in self.parts.values())


datasets: Registry[Dataset] = Registry("dataset", "datasets", "mitotype.datasets.readers")


def named_parts() -> dict[str, tuple[str, Part]]:
    """Return the dataset and the part of every name that a part has, in the order of the datasets."""
    return {name: (dataset, part) for dataset in datasets.names() for name, part in datasets.get(dataset).parts.items()}


def find_part(name: str, split: str) -> Part | None:
    """Return the part called `name`, or the part of the dataset `name` that is called so with its split; None without."""
    parts = named_parts()
    owner_and_part = parts.get(name) or parts.get(f"{name}-{split}")
    return owner_and_part[1] if owner_and_part else None
