"""What a dataset is: one frozen record of facts with its reader, and where its files are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mitotype.core.words import Cohort


@dataclass(frozen=True, kw_only=True)
class Source:
    """One published file.

    `urls` are tried in order; `save_as` is the file, or with `unpack` the folder, that it becomes under the folder asked
    for. `sha256` is known or None (then recorded at first use). With `listing` the address is a Zenodo record
    (https://zenodo.org/api/records/N) whose files are all fetched, each checked against the record's md5.
    `strip` is the number of leading folders that an archive wraps round its content, `members` files of the archive whose
    sha256 is known though the archive's own is not.
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
    """The facts of one dataset and the two functions that know its layout.

    counts: published patches per part, `{"train": (normal, atypical), …}`; "all" is always there, empty for the user's own.
    mpp_um: µm/px of the published pictures; None where the user states it.
    test_only: published as an external test set, without a training part.
    known_overlaps: sentences for the card.
    recognises: does this folder, csv or zip hold the dataset?
    read: (path, part, stated µm/px or None) → Cohort. `part` is "train", "test" or "all"; a dataset without a published
    split gives the whole in each.
    """

    title: str
    url: str
    licence: str
    citation: str
    mpp_um: float | None
    counts: Mapping[str, tuple[int, int]]
    known_overlaps: tuple[str, ...]
    sources: tuple[Source, ...]
    recognises: Callable[[Path], bool]
    read: Callable[[Path, str, float | None], Cohort]
    test_only: bool = False
