"""Symmetry of the chromatin: point and mirror symmetry, angular waves, bands, and skewness along its own axes."""

from __future__ import annotations

import numpy as np

from mitotype.features.masks import CENTRE, Chromatin, axes
from mitotype.features.points import Points, between, points

RINGS, SECTORS = 12, 48
REACH_PX = 24.0
RADIUS = (np.arange(RINGS) + 0.5) * REACH_PX / RINGS
THETA = np.arange(SECTORS) * 2 * np.pi / SECTORS
WAVES = (1, 2, 3, 4)
BANDS = 4


def symmetries(found: Chromatin) -> dict[str, np.ndarray]:
    """Point symmetry of the kept mask, of the density and of the main piece; then all that needs polar coordinates."""
    density = weighed(found)
    values = {}
    for name, weight in (("", found.kept_BHW), ("density_", density), ("main_", found.main_BHW)):
        values[f"{name}symmetry"] = point_symmetry(weight, points(weight > 0, weight))
    pixel = points(density > 0, density)
    return values | around(polar(density, *pixel.centroid(CENTRE))) | along(pixel)


def weighed(found: Chromatin) -> np.ndarray:
    """The density above the threshold within the kept mask, its largest value 1."""
    density = found.kept_BHW * (found.channel_BHW - found.threshold_B[:, None, None])
    return density / np.maximum(density.max((1, 2), keepdims=True), 1e-9)


def point_symmetry(weight_BHW: np.ndarray, pixel: Points) -> np.ndarray:
    """Overlap of each picture f with itself turned by 180° about its centroid c: Σ f(x) f(2c - x) / Σ f(x)².

    Dice's coefficient for a mask: 1 is perfect; 0 where the picture is empty. `pixel` are the points of f above 0.
    """
    row, column = (2 * where[pixel.patch_N] for where in pixel.centroid(CENTRE))
    turned = between(weight_BHW, pixel.patch_N, row - pixel.row_N, column - pixel.column_N)
    return pixel.total(turned) / np.maximum(pixel.total(pixel.weight_N), 1e-9)


def polar(picture_BHW: np.ndarray, row_B: np.ndarray, column_B: np.ndarray) -> np.ndarray:
    """Each picture about its centre as 12 rings (to 6 µm) × 48 directions."""
    rows = row_B[:, None, None] + RADIUS[:, None] * np.sin(THETA)
    columns = column_B[:, None, None] + RADIUS[:, None] * np.cos(THETA)
    patch = np.broadcast_to(np.arange(len(picture_BHW))[:, None, None], rows.shape)
    return between(picture_BHW, patch, rows, columns)


def around(polar_BRS: np.ndarray) -> dict[str, np.ndarray]:
    """What a mirror leaves unchanged, the share of each angular wave, and the unevenness of four bands of 1.5 µm.

    With F_m the Fourier coefficients of a ring (weighted by its length): the mirror at the axis φ/2 keeps
    Σ Re(F_m² e^{imφ}) of Σ |F_m|²; wave m holds the share |F_m|² (1 lopsided, 2 a bar or two plates, 3 tripolar, 4 a cross).
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


def along(pixel: Points) -> dict[str, np.ndarray]:
    """Skewness, tails and waist of the density along its long (u) and short (v) axis; bend and wedge of one on the other."""
    y, x = pixel.about(*pixel.centroid(CENTRE))
    major, minor, angle = axes(pixel.mean(y * y), pixel.mean(x * x), pixel.mean(x * y))
    cosine, sine = np.cos(angle)[pixel.patch_N], np.sin(angle)[pixel.patch_N]
    # 0.3 px keeps a single line from dividing by nothing
    u = (x * cosine + y * sine) / (np.sqrt(major) + 0.3)[pixel.patch_N]
    v = (y * cosine - x * sine) / (np.sqrt(minor) + 0.3)[pixel.patch_N]
    values = {
        "bend": np.abs(pixel.mean(v * (u * u - 1))),
        "wedge": np.abs(pixel.mean(u * v * v)),
        "corners": pixel.mean(u * u * v * v),
    }
    for axis, z in (("long", u), ("short", v)):
        square = z * z
        values[f"skew_{axis}"] = np.abs(pixel.mean(z * square))
        values[f"tails_{axis}"] = pixel.mean(square * square)
        values[f"waist_{axis}"] = pixel.mean(np.abs(z) < 0.35)
    return values
