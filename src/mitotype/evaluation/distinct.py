"""Distinct images: one row per image, and none for an image whose files have different labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Distinct:
    """`mask` is true for the rows that count. `groups` images had several rows, `conflicts` of them with different labels;
    `repeated` and `conflicting` rows are left out for these two reasons."""

    mask: np.ndarray
    groups: int
    conflicts: int
    repeated: int
    conflicting: int


def distinct_images(rows: pd.DataFrame) -> Distinct:
    """Select the first row of every image digest, and no row of an image with different labels.

    A row without a digest is an image of its own. (AtNorM-Br: 746 files, 27 such groups, two of them in conflict:
    709 distinct images.)
    """
    digest = rows["digest"].fillna("").astype(str)
    image = digest.where(digest != "", "row " + rows["patch_id"].astype(str))
    labels = rows["label"].groupby(image.to_numpy()).nunique()
    conflict = image.map(labels).to_numpy() > 1
    first = ~image.duplicated().to_numpy()
    return Distinct(
        mask=first & ~conflict,
        groups=int((image.value_counts() > 1).sum()),
        conflicts=int((labels > 1).sum()),
        repeated=int((~first & ~conflict).sum()),
        conflicting=int(conflict.sum()),
    )
