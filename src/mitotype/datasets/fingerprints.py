"""Fingerprints of the published test sets, for checks without their images: cases, parts, folds and digests.

The tables in `tables/` were derived for this project from the public files: the five domains and both variants of the
study's folds (amibr), pseudo-slides by colour along the file number (atnorm_br), and slides recovered from pixel-exact
overlaps of neighbouring crops, padding and order (atnorm_md). `sha256` holds the first 16 hex digits of the file's digest,
`pixels` those of the digest of the decoded pixels (core.images.digest).
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

from mitotype.core import tables
from mitotype.core.errors import unknown_name
from mitotype.core.schema import ATYPICAL, NORMAL

NUMBERS = ("fold_study", "fold_fixed", "x", "y", "pad_v", "pad_h")
DIGEST_CHARS = 16  # of 64: a chance collision among 10^5 images has probability 10^-10
PART_BY_NAME = {"amibr": "", "amibr-train": "train", "amibr-test": "test", "atnorm-br": "test", "atnorm-md": "test"}
TEST_SETS = ("amibr-test", "atnorm-br", "atnorm-md")  # the sets that models are evaluated on


@dataclass(frozen=True)
class Fingerprints:
    """What identifies a set of patches: case ids, and the first DIGEST_CHARS of the digests of its files and pixels."""

    name: str
    cases: frozenset[str]
    files: frozenset[str]
    pixels: frozenset[str]


@cache
def _table(name: str) -> pd.DataFrame:
    file = f"{name.replace('-', '_')}.csv.gz"
    raw = gzip.decompress((files("mitotype.datasets") / "tables" / file).read_bytes())
    rows = tables.parse_csv(raw, f"The table '{file}'", numbers=NUMBERS).set_index("file")
    rows["label"] = rows["folder"].map({"Atypical": float(ATYPICAL), "Normal": float(NORMAL)})
    if "certain" in rows:
        rows["certain"] = rows["certain"] == "True"
    if name == "amibr":
        rows["part"] = rows["fold_study"].isna().map({True: "test", False: "train"})
    return rows


def table(name: str) -> pd.DataFrame:
    """Return a copy of the shipped table of "amibr", "atnorm-br" or "atnorm-md", indexed by file stem."""
    return _table(name).copy()


def case_ids(name: str, rows: pd.DataFrame) -> pd.Series:
    """Return the case ids of rows of a shipped table. A slide has the same id in every dataset: 'MIDOG++/002.tiff'."""
    if name == "atnorm-br":
        return "AtNorM-Br/" + rows["pseudo_slide"]
    if name == "atnorm-md":
        return "MIDOG++/" + rows["slide"]
    origin = rows.index.str.split("_").str[0]
    return origin.map({"MIDOG21": "MIDOG++/", "TUPAC16": "TUPAC16/"}) + rows["slide"]


def load(name: str) -> Fingerprints:
    """Return the fingerprints of a published set. Raises a UserError for an unknown name."""
    if name not in PART_BY_NAME:
        raise unknown_name("published test set", name, PART_BY_NAME, "mitotype datasets")
    dataset = name.removesuffix("-train").removesuffix("-test")
    rows = _table(dataset)
    if dataset == "amibr" and PART_BY_NAME[name]:
        rows = rows[rows["part"] == PART_BY_NAME[name]]
    pixels = frozenset(rows["pixels"]) if "pixels" in rows else frozenset()
    return Fingerprints(name, frozenset(case_ids(dataset, rows)), frozenset(rows["sha256"]), pixels)
