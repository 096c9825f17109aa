"""A mask as the list of its pixels, patch by patch: sums over a few hundred points instead of over the whole frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Points:
    """The N pixels of B masks, in the order of the patches: rows and columns in px, and a weight each (1 for a mask)."""

    batch: int
    patch_N: np.ndarray
    row_N: np.ndarray
    column_N: np.ndarray
    weight_N: np.ndarray

    def total(self, value_N: np.ndarray | float = 1.0) -> np.ndarray:
        """Σ weight × value of each patch; 0 where a patch has no point."""
        return np.bincount(self.patch_N, self.weight_N * value_N, self.batch)

    def mean(self, value_N: np.ndarray) -> np.ndarray:
        """The weighted mean of each patch; 0 where nothing weighs."""
        return self.total(value_N) / np.maximum(self.total(), 1e-9)

    def centroid(self, otherwise: float) -> tuple[np.ndarray, np.ndarray]:
        """Centre of mass (row, column in px), or `otherwise` where nothing weighs."""
        weighs = self.total() > 0
        row, column = self.mean(self.row_N), self.mean(self.column_N)
        return np.where(weighs, row, otherwise), np.where(weighs, column, otherwise)

    def about(self, row_B: np.ndarray, column_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns measured from one point per patch."""
        return self.row_N - row_B[self.patch_N], self.column_N - column_B[self.patch_N]


def points(mask_BHW: np.ndarray, weight_BHW: np.ndarray | None = None) -> Points:
    """The pixels where `mask_BHW` is true, weighed by `weight_BHW` where it is given."""
    height, width = mask_BHW.shape[1:]
    at = np.flatnonzero(mask_BHW)
    patch, inside = np.divmod(at, height * width)
    row, column = np.divmod(inside, width)
    weight = np.ones(len(patch)) if weight_BHW is None else weight_BHW.ravel()[at].astype(float)
    return Points(len(mask_BHW), patch, row, column, weight)


def between(picture_BHW: np.ndarray, patch_N: np.ndarray, row_N: np.ndarray, column_N: np.ndarray) -> np.ndarray:
    """Bilinear values at points of the pictures, in one flat list; 0 outside."""
    batch, height, width = picture_BHW.shape
    framed = np.zeros((batch, height + 3, width + 3), np.float32)
    framed[:, 1:-2, 1:-2] = picture_BHW
    flat, wide = framed.ravel(), width + 3
    row, column = np.clip(row_N, -1, height) + 1, np.clip(column_N, -1, width) + 1
    top, left = row.astype(np.int64), column.astype(np.int64)
    down, right = row - top, column - left
    at = (patch_N * (height + 3) + top) * wide + left
    upper = flat[at] * (1 - right) + flat[at + 1] * right
    lower = flat[at + wide] * (1 - right) + flat[at + wide + 1] * right
    return upper * (1 - down) + lower * down
