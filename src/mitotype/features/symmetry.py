"""Symmetry of the chromatin: point and mirror symmetry, angular waves, bands, and skewness along its own axes."""

from __future__ import annotations

import numpy as np

from mitotype.features.masks import CENTRE, Chromatin, principal_axes
from mitotype.features.points import Points, bilinear

RINGS, SECTORS = 12, 48
MAX_RADIUS_PX = 24.0
RADIUS = (np.arange(RINGS) + 0.5) * MAX_RADIUS_PX / RINGS
THETA = np.arange(SECTORS) * 2 * np.pi / SECTORS
WAVES = (1, 2, 3, 4)
BANDS = 4


def symmetry_descriptors(chromatin: Chromatin) -> dict[str, np.ndarray]:
    """Return point symmetry of the mask, of the density and of the main region, then polar and axis descriptors."""
    density = density_weight(chromatin)
    values = {}
    for name, weight in (("", chromatin.mask_BHW), ("density_", density), ("main_", chromatin.main_BHW)):
        values[f"{name}symmetry"] = point_symmetry(weight, Points.of_mask(weight > 0, weight))
    pixels = Points.of_mask(density > 0, density)
    return values | polar_descriptors(polar(density, *pixels.centroid(CENTRE))) | axis_descriptors(pixels)


def density_weight(chromatin: Chromatin) -> np.ndarray:
    """Return the density above the threshold within the mask, scaled to a maximum of 1."""
    density = chromatin.mask_BHW * (chromatin.channel_BHW - chromatin.threshold_B[:, None, None])
    return density / np.maximum(density.max((1, 2), keepdims=True), 1e-9)


def point_symmetry(weight_BHW: np.ndarray, pixels: Points) -> np.ndarray:
    """Return the overlap of each image f with itself rotated by 180° about its centroid c: Σ f(x) f(2c - x) / Σ f(x)².

    Dice's coefficient for a mask: 1 is perfect; 0 where the image is empty. `pixels` are the points of f above 0.
    """
    row, column = (2 * centre_B[pixels.patch_N] for centre_B in pixels.centroid(CENTRE))
    rotated = bilinear(weight_BHW, pixels.patch_N, row - pixels.row_N, column - pixels.column_N)
    return pixels.total(rotated) / np.maximum(pixels.total(pixels.weight_N), 1e-9)


def polar(image_BHW: np.ndarray, row_B: np.ndarray, column_B: np.ndarray) -> np.ndarray:
    """Return each image in polar coordinates about its centre: 12 rings (to 6 µm) × 48 directions."""
    rows = row_B[:, None, None] + RADIUS[:, None] * np.sin(THETA)
    columns = column_B[:, None, None] + RADIUS[:, None] * np.cos(THETA)
    patch = np.broadcast_to(np.arange(len(image_BHW))[:, None, None], rows.shape)
    return bilinear(image_BHW, patch, rows, columns)


def polar_descriptors(polar_BRS: np.ndarray) -> dict[str, np.ndarray]:
    """Return mirror symmetry, the share of each angular wave, and the unevenness of four bands of 1.5 µm.

    With F_m the Fourier coefficients of a ring (weighted by its length): the overlap with the mirror image at the axis
    φ/2 is Σ Re(F_m² e^{imφ}) of Σ |F_m|²; wave m has the share |F_m|² (1 lopsided, 2 a bar or two plates, 3 tripolar, 4 a cross).
    """
    ring = polar_BRS * np.sqrt(RADIUS)[:, None]
    energy = np.maximum((ring**2).sum((1, 2)), 1e-9)
    wave = np.fft.rfft(ring, axis=2)
    share = (np.abs(wave) ** 2).sum(1) * 2 / SECTORS / energy[:, None]
    mirrored = np.fft.irfft((wave**2).sum(1), SECTORS, axis=1) / energy[:, None]
    values = {f"wave{m}": share[:, m] for m in WAVES}
    values["mirror"] = mirrored.max(1)
    values["mirror_both"] = ((mirrored + np.roll(mirrored, SECTORS // 2, 1)) / 2).max(1)
    uneven = polar_BRS.reshape(len(polar_BRS), BANDS, RINGS // BANDS, SECTORS).mean(2).std(2)
    return values | {f"band{band + 1}": uneven[:, band] for band in range(BANDS)}


def axis_descriptors(pixels: Points) -> dict[str, np.ndarray]:
    """Return skewness, tails and waist of the density along its long (u) and short (v) axis, and its bend and wedge."""
    y, x = pixels.relative_to(*pixels.centroid(CENTRE))
    major, minor, angle = principal_axes(pixels.mean(y * y), pixels.mean(x * x), pixels.mean(x * y))
    cosine, sine = np.cos(angle)[pixels.patch_N], np.sin(angle)[pixels.patch_N]
    # 0.3 px: a single line has no width
    u = (x * cosine + y * sine) / (np.sqrt(major) + 0.3)[pixels.patch_N]
    v = (y * cosine - x * sine) / (np.sqrt(minor) + 0.3)[pixels.patch_N]
    values = {
        "bend": np.abs(pixels.mean(v * (u * u - 1))),
        "wedge": np.abs(pixels.mean(u * v * v)),
        "corners": pixels.mean(u * u * v * v),
    }
    for axis, z in (("long", u), ("short", v)):
        square = z * z
        values[f"skew_{axis}"] = np.abs(pixels.mean(z * square))
        values[f"tails_{axis}"] = pixels.mean(square * square)
        values[f"waist_{axis}"] = pixels.mean(np.abs(z) < 0.35)
    return values
