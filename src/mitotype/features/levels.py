"""The figure at half of its darkness, and the grain in and about it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mitotype.features.masks import CENTRE, COLUMN, DISC, EIGHT, FROM_CENTRE, ROW, Chromatin, pieces
from mitotype.features.points import points
from mitotype.features.symmetry import point_symmetry, weighed

HALF_PIECE_PX = 6
HALF_WITHIN_PX = 22
GRAIN_AT = (0.15, 0.25)  # contrast of a grain as a share of the chromatin's


def half_dark(found: Chromatin) -> dict[str, np.ndarray]:
    """Pieces, area and point symmetry above half of the darkness, within 5.5 µm of the centre.

    The level half-way between the cytoplasm and the darkest chromatin moves little when a picture is blurred.
    """
    kept, channel = found.kept_BHW, found.channel_BHW
    ground, _ = _contrast(found)
    darkest = np.where(kept, channel, -np.inf).max((1, 2))
    half = np.where(np.isfinite(darkest), (ground + darkest) / 2, np.inf)
    above = (channel > half[:, None, None]) & (FROM_CENTRE < HALF_WITHIN_PX)
    part, pixel = pieces(above), points(above)
    return {
        "half_pieces": np.bincount(part.patch_L, part.area_L >= HALF_PIECE_PX, len(kept)),
        "half_area": pixel.total() / np.maximum(kept.sum((1, 2)), 1),
        "half_symmetry": point_symmetry(above, pixel),
    }


def grain(found: Chromatin) -> dict[str, np.ndarray]:
    """Dark grains inside the chromatin and loose about it (to 5 µm), and the unevenness inside.

    A grain is a local peak (5 × 5 px) of the channel less its blur (σ 2 px), counted by its share of the contrast.
    """
    kept, channel = found.kept_BHW, found.channel_BHW
    _, contrast = _contrast(found)
    density = weighed(found)
    row, column = points(density > 0, density).centroid(CENTRE)
    fine = (channel - ndimage.gaussian_filter(channel, (0, 2, 2))) / np.maximum(contrast, 1e-3)[:, None, None]
    peak = fine == ndimage.maximum_filter(fine, (1, 5, 5))
    about = np.hypot(ROW - row[:, None, None], COLUMN - column[:, None, None])
    loose = (about < 20) & ~ndimage.binary_dilation(kept, EIGHT, iterations=2)
    area = np.maximum(kept.sum((1, 2)), 1)
    inside = (kept * channel).sum((1, 2)) / area
    uneven = np.sqrt(np.maximum((kept * channel**2).sum((1, 2)) / area - inside**2, 0))
    values = {"unevenness": uneven / np.maximum(contrast, 1e-3)}
    for at in GRAIN_AT:
        values[f"grains_{at * 100:.0f}"] = (peak & (fine > at) & kept).sum((1, 2))
        values[f"loose_grains_{at * 100:.0f}"] = (peak & (fine > at) & loose).sum((1, 2))
    return values


def _contrast(found: Chromatin) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the cytoplasm (below the threshold, within 6 µm) and how much darker the kept chromatin is on the mean."""
    ground = ~found.above_BHW & DISC
    pale = (ground * found.channel_BHW).sum((1, 2)) / np.maximum(ground.sum((1, 2)), 1)
    dark = (found.kept_BHW * found.channel_BHW).sum((1, 2)) / np.maximum(found.kept_BHW.sum((1, 2)), 1)
    return pale, dark - pale
