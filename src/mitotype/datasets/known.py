"""What the package knows of the published test sets without their pictures: slides, parts, folds and digests.

The tables in `tables/` were worked out for this project from the public files: the five domains and both spellings of the
study's folds (amibr), pseudo-slides by colour along the file number (atnorm_br), and slides recovered by pixel-exact
overlaps of neighbouring crops, padding and order (atnorm_md). `sha256` is the first 16 hex digits of the file's digest,
`pixels` those of its decoded pixels (core.pictures.digest).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from mitotype.core.mistakes import unknown
from mitotype.core.words import ATYPICAL, NORMAL

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 16  # of a digest's 64: a chance collision among 10^5 pictures has probability 10^-10
PARTS = {"amibr": "", "amibr-train": "train", "amibr-test": "test", "atnorm-br": "test", "atnorm-md": "test"}
TESTS = ("amibr-test", "atnorm-br", "atnorm-md")  # the sets that models are measured on


@dataclass(frozen=True)
class Marks:
    """By what a set of patches is known again: its cases, its files' digests and its pictures' (first DIGITS digits)."""

    name: str
    cases: frozenset[str]
    files: frozenset[str]
    pixels: frozenset[str]


@cache
def _table(name: str) -> pd.DataFrame:
    import pandas as pd

    text = {"file": str, "sha256": str, "pixels": str, "slide": str, "pseudo_slide": str}
    with (files("mitotype.datasets") / "tables" / f"{name.replace('-', '_')}.csv.gz").open("rb") as raw:
        rows = pd.read_csv(raw, dtype=text, compression="gzip").set_index("file")
    rows["label"] = rows["folder"].map({"Atypical": float(ATYPICAL), "Normal": float(NORMAL)})
    if name == "amibr":
        rows["part"] = rows["fold_study"].isna().map({True: "test", False: "train"})
    return rows


def table(name: str) -> pd.DataFrame:
    """The shipped table of "amibr", "atnorm-br" or "atnorm-md", indexed by file name without ending (a copy)."""
    return _table(name).copy()


def case_of(name: str, rows: pd.DataFrame) -> pd.Series:
    """Case ids of a shipped table's rows. One slide has one id in every dataset: 'MIDOG++/002.tiff'."""
    if name == "atnorm-br":
        return "AtNorM-Br/" + rows["pseudo_slide"]
    if name == "atnorm-md":
        return "MIDOG++/" + rows["slide"]
    origin = rows.index.str.split("_").str[0]
    return origin.map({"MIDOG21": "MIDOG++/", "TUPAC16": "TUPAC16/"}) + rows["slide"]


def marks(name: str) -> Marks:
    """The marks of one published set by its name. An unknown name is a Mistake."""
    if name not in PARTS:
        raise unknown("published test set", name, PARTS, "mitotype datasets")
    dataset = name.removesuffix("-train").removesuffix("-test")
    rows = _table(dataset)
    if dataset == "amibr" and PARTS[name]:
        rows = rows[rows["part"] == PARTS[name]]
    pixels = frozenset(rows["pixels"]) if "pixels" in rows else frozenset()
    return Marks(name, frozenset(case_of(dataset, rows)), frozenset(rows["sha256"]), pixels)
