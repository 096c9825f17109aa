"""Distinct pictures: one row per picture, and none for a picture whose files carry different labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Distinct:
    """`keep` marks the rows that stay. `groups` pictures stood in more than one row, `conflicts` of them with different labels;
    `repeated` and `conflicting` rows were left out for the one reason and the other."""

    keep: np.ndarray
    groups: int
    conflicts: int
    repeated: int
    conflicting: int

    @property
    def changed(self) -> bool:
        return not self.keep.all()


def distinct(rows: pd.DataFrame) -> Distinct:
    """The rule: rows with the same picture digest are one picture; it keeps its first row, or none where labels disagree.

    A row without a digest counts as a picture of its own. (AtNorM-Br: 746 files, 27 such groups, two of them in conflict:
    709 distinct pictures.)
    """
    digest = rows["digest"].fillna("").astype(str)
    own = digest.where(digest != "", "row " + rows["patch_id"].astype(str))
    labels = rows["label"].groupby(own.to_numpy()).nunique()
    conflict = own.map(labels).to_numpy() > 1
    first = ~own.duplicated().to_numpy()
    sizes = own.value_counts()
    return Distinct(
        keep=first & ~conflict,
        groups=int((sizes > 1).sum()),
        conflicts=int((labels > 1).sum()),
        repeated=int((~first & ~conflict).sum()),
        conflicting=int(conflict.sum()),
    )
