"""Fingerprints of published sets, for checks without their images: cases, parts and digests.

A table has one row per published patch. Those in `tables/` were derived for this project from the public files: the five
domains and both variants of the study's folds (amibr), pseudo-slides by colour along the file number (atnorm_br), and slides
recovered from pixel-exact overlaps of neighbouring crops, padding and order (atnorm_md). `sha256` holds the first 16 hex
digits of the file's digest, `pixels` those of the digest of the decoded pixels (core.images.digest).
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from mitotype.core import tables
from mitotype.core.errors import unknown_name
from mitotype.core.schema import ATYPICAL, NORMAL
from mitotype.datasets.dataset import datasets, named_parts

TABLES = Path(__file__).parent / "tables"
NUMBERS = ("fold_study", "fold_fixed", "x", "y", "pad_v", "pad_h")
DIGEST_CHARS = 16  # of 64: a chance collision among 10^5 images has probability 10^-10


@dataclass(frozen=True)
class Fingerprints:
    """What identifies a set of patches: case ids, and the first DIGEST_CHARS of the digests of its files and pixels."""

    name: str
    cases: frozenset[str]
    files: frozenset[str]
    pixels: frozenset[str]


@cache
def _table(path: Path) -> pd.DataFrame:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = tables.parse_csv(raw, f"The table '{path.name}'", numbers=NUMBERS).set_index("file")
    if "folder" in rows:
        rows["label"] = rows["folder"].map({"Atypical": float(ATYPICAL), "Normal": float(NORMAL)})
    return rows


def read_table(path: Path) -> pd.DataFrame:
    """Return a copy of a table of published patches (csv or csv.gz), indexed by file stem; `label` is that of its folder."""
    return _table(path).copy()


def names() -> list[str]:
    """Return the names with fingerprints: of datasets and of their parts."""
    known = [name for name in datasets.names() if datasets.get(name).fingerprints]
    return [*known, *(part for part, (dataset, _) in named_parts().items() if dataset in known and part not in known)]


def test_sets() -> list[str]:
    """Return the names of the test sets with fingerprints."""
    known = names()
    return [name for name, (_, part) in named_parts().items() if part.is_test_set and name in known]


def table(dataset: str) -> pd.DataFrame:
    """Return the table of all published patches of a dataset, see `Dataset.fingerprints`."""
    read = datasets.get(dataset).fingerprints
    if read is None:
        raise unknown_name("published set", dataset, names(), "mitotype datasets")
    return read()


def load(name: str) -> Fingerprints:
    """Return the fingerprints of a published set or part. Raises a UserError for an unknown name."""
    if name not in names():
        raise unknown_name("published test set", name, names(), "mitotype datasets")
    dataset, part = named_parts().get(name, (name, None))
    rows = table(dataset)
    if part and "part" in rows:
        rows = rows[rows["part"] == part.split]
    pixels = frozenset(rows["pixels"]) if "pixels" in rows else frozenset()
    return Fingerprints(name, frozenset(rows["case_id"]), frozenset(rows["sha256"]), pixels)
