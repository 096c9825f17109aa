"""Descriptors at half of the darkness, and of the grain inside and around the chromatin."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mitotype.features.masks import CENTRE, CENTRE_DISTANCE, COLUMN, DISC, EIGHT, ROW, Chromatin, label_regions
from mitotype.features.points import Points
from mitotype.features.symmetry import density_weight, point_symmetry

HALF_REGION_PX = 6
HALF_RADIUS_PX = 22
GRAIN_LEVELS = (0.15, 0.25)  # contrast of a grain as a share of the chromatin's


def half_level_descriptors(chromatin: Chromatin) -> dict[str, np.ndarray]:
    """Return regions, area and point symmetry above half of the darkness, within 5.5 µm of the centre.

    The level half-way between the cytoplasm and the darkest chromatin changes little when an image is blurred.
    """
    mask, channel = chromatin.mask_BHW, chromatin.channel_BHW
    background, _ = _contrast(chromatin)
    darkest = np.where(mask, channel, -np.inf).max((1, 2))
    half = np.where(np.isfinite(darkest), (background + darkest) / 2, np.inf)
    above = (channel > half[:, None, None]) & (CENTRE_DISTANCE < HALF_RADIUS_PX)
    regions, pixels = label_regions(above), Points.of_mask(above)
    return {
        "half_pieces": np.bincount(regions.patch_L, regions.area_L >= HALF_REGION_PX, len(mask)),
        "half_area": pixels.total() / np.maximum(mask.sum((1, 2)), 1),
        "half_symmetry": point_symmetry(above, pixels),
    }


def grain_descriptors(chromatin: Chromatin) -> dict[str, np.ndarray]:
    """Return dark grains inside the chromatin and around it (to 5 µm), and the unevenness inside.

    A grain is a local peak (5 × 5 px) of the channel less its blur (σ 2 px), counted by its share of the contrast.
    """
    mask, channel = chromatin.mask_BHW, chromatin.channel_BHW
    _, contrast = _contrast(chromatin)
    density = density_weight(chromatin)
    row, column = Points.of_mask(density > 0, density).centroid(CENTRE)
    fine = (channel - ndimage.gaussian_filter(channel, (0, 2, 2))) / np.maximum(contrast, 1e-3)[:, None, None]
    peak = fine == ndimage.maximum_filter(fine, (1, 5, 5))
    distance = np.hypot(ROW - row[:, None, None], COLUMN - column[:, None, None])
    loose = (distance < 20) & ~ndimage.binary_dilation(mask, EIGHT, iterations=2)
    area = np.maximum(mask.sum((1, 2)), 1)
    mean = (mask * channel).sum((1, 2)) / area
    uneven = np.sqrt(np.maximum((mask * channel**2).sum((1, 2)) / area - mean**2, 0))
    values = {"unevenness": uneven / np.maximum(contrast, 1e-3)}
    for level in GRAIN_LEVELS:
        values[f"grains_{level * 100:.0f}"] = (peak & (fine > level) & mask).sum((1, 2))
        values[f"loose_grains_{level * 100:.0f}"] = (peak & (fine > level) & loose).sum((1, 2))
    return values


def _contrast(chromatin: Chromatin) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the cytoplasm (below the threshold, within 6 µm) and the difference of the chromatin's mean to it."""
    background = ~chromatin.above_BHW & DISC
    pale = (background * chromatin.channel_BHW).sum((1, 2)) / np.maximum(background.sum((1, 2)), 1)
    dark = (chromatin.mask_BHW * chromatin.channel_BHW).sum((1, 2)) / np.maximum(chromatin.mask_BHW.sum((1, 2)), 1)
    return pale, dark - pale
