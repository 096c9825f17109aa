"""Chromatin masks of the central 64 px: Otsu in two red-like channels and in haematoxylin, cut into pieces.

Shapes: B patches, 3 colours, H and W 64 px, L pieces of all B patches together (0 is the ground).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

PX = 64
CENTRE = (PX - 1) / 2
ROW, COLUMN = np.mgrid[:PX, :PX].astype(np.float32)
FROM_CENTRE = np.hypot(ROW - CENTRE, COLUMN - CENTRE)
FROM_EDGE = np.minimum(np.minimum(ROW, PX - 1 - ROW), np.minimum(COLUMN, PX - 1 - COLUMN))
DISC = FROM_CENTRE < 24  # 6 µm: the figure and its cytoplasm
NEAR_PX = 24.0
MIN_PIECE_PX = 12  # 0.75 µm²: smaller ones are noise or pigment
PADDING_BELOW = 10  # cutters fill black beyond the slide's edge
BINS = 64

# one label per patch and piece: neighbours within a patch (8 or 4 of them), never across patches
EIGHT = np.zeros((3, 3, 3), int)
EIGHT[1] = 1
FOUR = np.zeros((3, 3, 3), int)
FOUR[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]

MASKS = {  # name: (what it is made of, σ of the smoothing in px)
    "red": ("darkness in the red channel", 1.0),
    "fine": ("darkness in red and green (0.7 and 0.3)", 0.5),
    "haem": ("haematoxylin by colour deconvolution", 1.0),
}


@dataclass(frozen=True)
class Pieces:
    """Connected pieces of one mask in a batch. Index 0 is the ground; positions in px within the 64-px frame."""

    label_BHW: np.ndarray
    patch_L: np.ndarray
    area_L: np.ndarray
    row_L: np.ndarray
    column_L: np.ndarray
    var_row_L: np.ndarray
    var_column_L: np.ndarray
    cov_L: np.ndarray


@dataclass(frozen=True)
class Chromatin:
    """One mask of a batch: the kept pieces near the centre, the main one, and the channel that they were cut from."""

    channel_BHW: np.ndarray
    threshold_B: np.ndarray
    above_BHW: np.ndarray
    kept_BHW: np.ndarray
    main_BHW: np.ndarray
    pieces: Pieces
    near_L: np.ndarray
    main_B: np.ndarray
    empty_B: np.ndarray


def centre(image_B3HW: np.ndarray) -> np.ndarray:
    """The central 64 px. Raises ValueError for anything but uint8 pictures of at least 64 px."""
    if (
        image_B3HW.ndim != 4
        or image_B3HW.shape[1] != 3
        or image_B3HW.dtype != np.uint8
        or min(image_B3HW.shape[2:]) < PX
    ):
        raise ValueError(f"need uint8 (B, 3, ≥{PX}, ≥{PX}), got {image_B3HW.dtype} {image_B3HW.shape}")
    top, left = (side // 2 - PX // 2 for side in image_B3HW.shape[2:])
    return np.ascontiguousarray(image_B3HW[:, :, top : top + PX, left : left + PX])


def channels(image_B3HW: np.ndarray) -> dict[str, np.ndarray]:
    """The smoothed channels, dark chromatin high, black padding filled with the patch's median colour."""
    from skimage.color import rgb2hed

    colour = centre(image_B3HW).astype(np.float32) / 255
    padding = colour.max(1) < PADDING_BELOW / 255
    for patch in np.flatnonzero(padding.any((1, 2)) & ~padding.all((1, 2))):
        inside = ~padding[patch]
        colour[patch][:, padding[patch]] = np.median(colour[patch][:, inside], axis=1)[:, None]
    raw = {
        "red": 1 - colour[:, 0],
        "fine": 1 - 0.7 * colour[:, 0] - 0.3 * colour[:, 1],
        "haem": rgb2hed(colour, channel_axis=1)[:, 0].astype(np.float32),
    }
    return {name: ndimage.gaussian_filter(raw[name], (0, sigma, sigma)) for name, (_, sigma) in MASKS.items()}


def otsu(value_BN: np.ndarray) -> np.ndarray:
    """Otsu's threshold of every row (64 bins between its own ends): where the variance between the classes is largest."""
    low, high = value_BN.min(1), value_BN.max(1)
    step = np.maximum(high - low, 1e-9) / BINS
    binned = np.minimum(((value_BN - low[:, None]) / step[:, None]).astype(np.int64), BINS - 1)
    rows = len(value_BN)
    count = np.bincount((np.arange(rows)[:, None] * BINS + binned).ravel(), minlength=rows * BINS)
    count = count.reshape(rows, BINS).astype(float)
    below = count.cumsum(1)[:, :-1]
    above = value_BN.shape[1] - below
    moment = (count * np.arange(BINS)).cumsum(1)
    low_mean = moment[:, :-1] / np.maximum(below, 1)
    high_mean = (moment[:, -1:] - moment[:, :-1]) / np.maximum(above, 1)
    best = (below * above * (low_mean - high_mean) ** 2).argmax(1)
    return low + (best + 1) * step


def chromatin(channel_BHW: np.ndarray) -> Chromatin:
    """The chromatin of each patch: above Otsu's threshold, in pieces of at least 12 px whose centroid is near the centre.

    The threshold is the higher of the whole frame's and the central disc's, so that pale stroma does not set it.
    The main piece is the largest one after a Gaussian preference (σ 14 px) for the centre; it is kept wherever it lies.
    """
    batch = len(channel_BHW)
    flat = channel_BHW.reshape(batch, -1)
    threshold = np.maximum(otsu(flat), otsu(flat[:, DISC.ravel()])).astype(np.float32)
    above = channel_BHW > threshold[:, None, None]
    found = pieces(above)
    distance = np.hypot(found.row_L - CENTRE, found.column_L - CENTRE)
    large = found.area_L >= MIN_PIECE_PX
    score = np.where(large, found.area_L * np.exp(-(distance**2) / (2 * 14**2)), 0)
    order = np.argsort(score[1:], kind="stable") + 1
    main = np.zeros(batch, int)
    main[found.patch_L[order]] = order  # the last write, hence the highest score, stays
    main = np.where(score[main] > 0, main, 0)
    near = large & (distance < NEAR_PX)
    near[main] = True
    near[0] = False
    kept = near[found.label_BHW]
    is_main = (found.label_BHW == main[:, None, None]) & kept
    return Chromatin(channel_BHW, threshold, above, kept, is_main, found, near, main, ~kept.any((1, 2)))


def pieces(mask_BHW: np.ndarray) -> Pieces:
    """Connected pieces (eight neighbours) with their areas, centroids and second central moments."""
    label, count = ndimage.label(mask_BHW, EIGHT)
    patch, row, column = np.nonzero(label)
    own = label[patch, row, column]
    total = np.bincount(own, minlength=count + 1).astype(float)
    size = np.maximum(total, 1)

    def mean(value: np.ndarray) -> np.ndarray:
        return np.bincount(own, value, count + 1) / size

    patches = np.zeros(count + 1, int)
    patches[own] = patch
    row_mean, column_mean = mean(row), mean(column)
    rows, columns = row - row_mean[own], column - column_mean[own]
    # a pixel is a square, not a point: its own second moment is 1/12
    return Pieces(
        label, patches, total, row_mean, column_mean,
        mean(rows * rows) + 1 / 12, mean(columns * columns) + 1 / 12, mean(rows * columns),
    )  # fmt: skip


def axes(var_row: np.ndarray, var_column: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance along the major and the minor axis (px²) and the major axis's angle from the columns (radians)."""
    mean = (var_row + var_column) / 2
    half = np.hypot((var_row - var_column) / 2, cov)
    return mean + half, np.maximum(mean - half, 1e-6), 0.5 * np.arctan2(2 * cov, var_column - var_row)
