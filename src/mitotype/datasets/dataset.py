"""Dataset: the facts of one dataset and its reader; Source: where its files are published; the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mitotype.core.registry import Registry
from mitotype.core.schema import MPP_UM, Cohort


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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The facts of one dataset, a function that detects its layout and a function that reads it.

    Parameters
    ----------
    mpp_um : µm/px of the published images; None where the user states it
    counts : published patches per part, `{"train": (normal, atypical), …}`, always with "all"; empty without published counts
    known_overlaps : remarks on other datasets with the same figures, for the card
    detect : (path) → whether this folder, csv or zip has the layout of the dataset
    read : (path, part, stated µm/px or None) → Cohort. `part` is "train", "test" or "all"; a dataset without a published
        split returns all patches for each
    test_only : published as an external test set, without a training part
    """

    title: str
    url: str = ""
    license: str
    citation: str = ""
    mpp_um: float | None = MPP_UM
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    known_overlaps: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    detect: Callable[[Path], bool]
    read: Callable[[Path, str, float | None], Cohort]
    test_only: bool = False


datasets: Registry[Dataset] = Registry("dataset", "datasets", "mitotype.datasets.readers")
