"""Chromatin masks of the central 64 px: Otsu in two red-like channels and in haematoxylin, split into connected regions.

Shapes: B patches, 3 colours, H and W 64 px, L regions of all B patches together (0 is the background).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hed

PX = 64
CENTRE = (PX - 1) / 2
ROW, COLUMN = np.mgrid[:PX, :PX].astype(np.float32)
CENTRE_DISTANCE = np.hypot(ROW - CENTRE, COLUMN - CENTRE)
EDGE_DISTANCE = np.minimum(np.minimum(ROW, PX - 1 - ROW), np.minimum(COLUMN, PX - 1 - COLUMN))
DISC = CENTRE_DISTANCE < 24  # 6 µm: the figure and its cytoplasm
NEAR_PX = 24.0
MIN_REGION_PX = 12  # 0.75 µm²: smaller ones are noise or pigment
PADDING_BELOW = 10  # black padding beyond the slide's edge
BINS = 64

# neighbours for labels: 8 or 4 of them within a patch, none across patches
EIGHT = np.pad(np.ones((1, 3, 3), int), ((1, 1), (0, 0), (0, 0)))
FOUR = EIGHT * ndimage.generate_binary_structure(3, 1)

MASKS = {  # name: (source, σ of the smoothing in px)
    "red": ("darkness in the red channel", 1.0),
    "fine": ("darkness in red and green (0.7 and 0.3)", 0.5),
    "haem": ("haematoxylin by colour deconvolution", 1.0),
}


@dataclass(frozen=True)
class Regions:
    """Connected regions of one mask in a batch. Index 0 is the background; positions in px within the 64-px frame."""

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
    """One mask of a batch: the selected regions near the centre, the main one, and the channel that they come from."""

    channel_BHW: np.ndarray
    threshold_B: np.ndarray
    above_BHW: np.ndarray
    mask_BHW: np.ndarray
    main_BHW: np.ndarray
    regions: Regions
    selected_L: np.ndarray
    main_region_B: np.ndarray
    empty_B: np.ndarray


def center_crop(image_B3HW: np.ndarray) -> np.ndarray:
    """Return the central 64 px. Raises a ValueError for anything but uint8 images of at least 64 px."""
    is_valid = image_B3HW.dtype == np.uint8 and image_B3HW.ndim == 4 and image_B3HW.shape[1] == 3
    if not is_valid or min(image_B3HW.shape[2:]) < PX:
        raise ValueError(f"need uint8 (B, 3, ≥{PX}, ≥{PX}), got {image_B3HW.dtype} {image_B3HW.shape}")
    top, left = (side // 2 - PX // 2 for side in image_B3HW.shape[2:])
    return np.ascontiguousarray(image_B3HW[:, :, top : top + PX, left : left + PX])


def chromatin_channels(image_B3HW: np.ndarray) -> dict[str, np.ndarray]:
    """Return the smoothed channels, high for dark chromatin; black padding is filled with the patch's median colour."""
    color = center_crop(image_B3HW).astype(np.float32) / 255
    padding = color.max(1) < PADDING_BELOW / 255
    for patch in np.flatnonzero(padding.any((1, 2)) & ~padding.all((1, 2))):
        valid = ~padding[patch]
        color[patch][:, padding[patch]] = np.median(color[patch][:, valid], axis=1)[:, None]
    raw = {
        "red": 1 - color[:, 0],
        "fine": 1 - 0.7 * color[:, 0] - 0.3 * color[:, 1],
        "haem": rgb2hed(color, channel_axis=1)[:, 0].astype(np.float32),
    }
    return {name: ndimage.gaussian_filter(raw[name], (0, sigma, sigma)) for name, (_, sigma) in MASKS.items()}


def otsu_threshold(value_BN: np.ndarray) -> np.ndarray:
    """Return Otsu's threshold of every row (64 bins from its minimum to its maximum): the largest variance between classes."""
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


def segment_chromatin(channel_BHW: np.ndarray) -> Chromatin:
    """Segment the chromatin of each patch: above Otsu's threshold, in regions of at least 12 px with a centroid near the centre.

    The threshold is the higher of those of the frame and of the central disc, so that pale stroma does not set it. The main
    region is the largest after weighting by a Gaussian (σ 14 px) about the centre; it is selected wherever it lies.
    """
    batch = len(channel_BHW)
    flat = channel_BHW.reshape(batch, -1)
    threshold = np.maximum(otsu_threshold(flat), otsu_threshold(flat[:, DISC.ravel()])).astype(np.float32)
    above = channel_BHW > threshold[:, None, None]
    regions = label_regions(above)
    distance = np.hypot(regions.row_L - CENTRE, regions.column_L - CENTRE)
    large = regions.area_L >= MIN_REGION_PX
    score = np.where(large, regions.area_L * np.exp(-(distance**2) / (2 * 14**2)), 0)
    order = np.argsort(score[1:], kind="stable") + 1
    main = np.zeros(batch, int)
    main[regions.patch_L[order]] = order  # the last write, hence the highest score, stays
    main = np.where(score[main] > 0, main, 0)
    selected = large & (distance < NEAR_PX)
    selected[main] = True
    selected[0] = False
    mask = selected[regions.label_BHW]
    is_main = (regions.label_BHW == main[:, None, None]) & mask
    return Chromatin(channel_BHW, threshold, above, mask, is_main, regions, selected, main, ~mask.any((1, 2)))


def label_regions(mask_BHW: np.ndarray) -> Regions:
    """Return the connected regions (eight neighbours) with their areas, centroids and second central moments."""
    label, count = ndimage.label(mask_BHW, EIGHT)
    patch, row, column = np.nonzero(label)
    region = label[patch, row, column]
    area = np.bincount(region, minlength=count + 1).astype(float)
    size = np.maximum(area, 1)

    def mean(value: np.ndarray) -> np.ndarray:
        return np.bincount(region, value, count + 1) / size

    patch_L = np.zeros(count + 1, int)
    patch_L[region] = patch
    row_mean, column_mean = mean(row), mean(column)
    rows, columns = row - row_mean[region], column - column_mean[region]
    # a pixel is a square, not a point: its own second moment is 1/12
    return Regions(
        label, patch_L, area, row_mean, column_mean,
        mean(rows * rows) + 1 / 12, mean(columns * columns) + 1 / 12, mean(rows * columns),
    )  # fmt: skip


def principal_axes(
    var_row: np.ndarray, var_column: np.ndarray, cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the variance along the major and the minor axis (px²) and the major axis's angle from the columns (radians)."""
    mean = (var_row + var_column) / 2
    half = np.hypot((var_row - var_column) / 2, cov)
    return mean + half, np.maximum(mean - half, 1e-6), 0.5 * np.arctan2(2 * cov, var_column - var_row)
