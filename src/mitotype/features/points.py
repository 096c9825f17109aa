"""Masks as lists of pixels: sums over a few hundred points per patch instead of over the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Points:
    """The N pixels of B masks, in the order of the patches: rows and columns in px, and weights (1 for a mask)."""

    batch: int
    patch_N: np.ndarray
    row_N: np.ndarray
    column_N: np.ndarray
    weight_N: np.ndarray

    @classmethod
    def of_mask(cls, mask_BHW: np.ndarray, weight_BHW: np.ndarray | None = None) -> Points:
        """Return the pixels where `mask_BHW` is true, with the weights `weight_BHW` if given."""
        height, width = mask_BHW.shape[1:]
        index = np.flatnonzero(mask_BHW)
        patch, offset = np.divmod(index, height * width)
        row, column = np.divmod(offset, width)
        weight = np.ones(len(patch)) if weight_BHW is None else weight_BHW.ravel()[index].astype(float)
        return cls(len(mask_BHW), patch, row, column, weight)

    def total(self, value_N: np.ndarray | float = 1.0) -> np.ndarray:
        """Return Σ weight × value of each patch; 0 where it has no point."""
        return np.bincount(self.patch_N, self.weight_N * value_N, self.batch)

    def mean(self, value_N: np.ndarray) -> np.ndarray:
        """Return the weighted mean of each patch; 0 where the total weight is 0."""
        return self.total(value_N) / np.maximum(self.total(), 1e-9)

    def centroid(self, default: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the centre of mass (row, column in px), or `default` where the total weight is 0."""
        has_weight = self.total() > 0
        row, column = self.mean(self.row_N), self.mean(self.column_N)
        return np.where(has_weight, row, default), np.where(has_weight, column, default)

    def relative_to(self, row_B: np.ndarray, column_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns relative to one point per patch."""
        return self.row_N - row_B[self.patch_N], self.column_N - column_B[self.patch_N]


def bilinear(image_BHW: np.ndarray, patch_N: np.ndarray, row_N: np.ndarray, column_N: np.ndarray) -> np.ndarray:
    """Return bilinearly interpolated values at points of the images, as a flat array; 0 outside."""
    batch, height, width = image_BHW.shape
    padded = np.zeros((batch, height + 3, width + 3), np.float32)
    padded[:, 1:-2, 1:-2] = image_BHW
    flat, stride = padded.ravel(), width + 3
    row, column = np.clip(row_N, -1, height) + 1, np.clip(column_N, -1, width) + 1
    top, left = row.astype(np.int64), column.astype(np.int64)
    down, right = row - top, column - left
    index = (patch_N * (height + 3) + top) * stride + left
    upper = flat[index] * (1 - right) + flat[index + 1] * right
    lower = flat[index + stride] * (1 - right) + flat[index + stride + 1] * right
    return upper * (1 - down) + lower * down
