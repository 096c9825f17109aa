"""Near duplicates among images: shifted by a few px, rotated or mirrored, compressed, resampled or recoloured.

1. Each image becomes 64 × 64 grey values: its centre, with black padding filled with the mean.
2. Candidates: the descriptor is 8 × 8 block means of a 56-px window, centred and of unit length. The window of every image
   is compared, by one matrix product per symmetry and shift, with those of all others under the eight symmetries of the
   square and shifts of −4, 0, 4 px on both axes. The NEAREST best pairs with a similarity over CANDIDATE are verified.
3. Verification: normalized correlation of the detail (the image minus its Gaussian blur) of a 48-px window over all shifts
   up to 8 px. Different figures stay under .4, copies are over .8; VERIFIED lies between.

Shapes: N images, P pairs, S = 64 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

SIDE, WINDOW, DETAIL = 64, 56, 48
BLOCK = 7
NEAREST, CANDIDATE, VERIFIED = 6, 0.65, 0.5
CHUNK = 512  # images compared with all others at a time, which bounds the memory
DARK = 10  # a border row or column that is darker throughout is padding
SYMMETRIES = (
    "unchanged", "rotated 90°", "rotated 180°", "rotated 270°",
    "mirrored", "mirrored, rotated 90°", "mirrored, rotated 180°", "mirrored, rotated 270°",
)  # fmt: skip
INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)  # the index of the inverse symmetry: a mirrored and rotated image is its own inverse


@dataclass(frozen=True)
class NearDuplicate:
    """Images at the positions `a` < `b` show the same figure: `b` under `symmetry`, shifted by (down, right) px, is `a`."""

    a: int
    b: int
    correlation: float
    symmetry: str
    shift_px: tuple[int, int]


def find_near_duplicates(gray_NSS: np.ndarray, factor: int = 1) -> list[NearDuplicate]:
    """Return the pairs of near duplicates among images from `to_gray`, sorted by position; `factor` is px per grey value."""
    if len(gray_NSS) < 2:
        return []
    a_P, b_P, symmetry_P = _candidates(gray_NSS)
    correlation_P, shift_P2 = _verify(gray_NSS, a_P, b_P, symmetry_P)
    return [
        NearDuplicate(int(a), int(b), float(c), SYMMETRIES[s], (int(down) * factor, int(right) * factor))
        for a, b, s, c, (down, right) in zip(a_P, b_P, symmetry_P, correlation_P, shift_P2, strict=True)
        if c >= VERIFIED
    ]


def to_gray(image_N3HW: np.ndarray, factor: int) -> np.ndarray:
    """Return the central 64·factor px of uint8 images as 64 × 64 grey means, float32; padding is filled with the mean of the rest."""
    chunks = [_to_gray(image_N3HW[start : start + CHUNK], factor) for start in range(0, len(image_N3HW), CHUNK)]
    return np.concatenate([np.empty((0, SIDE, SIDE), np.float32), *chunks])


def _to_gray(image_N3HW: np.ndarray, factor: int) -> np.ndarray:
    height, width = image_N3HW.shape[-2:]
    side = SIDE * factor
    top, left = (height - side) // 2, (width - side) // 2
    gray_NHW = image_N3HW[:, :, top : top + side, left : left + side].astype(np.float32).mean(axis=1)
    dark = gray_NHW <= DARK
    padding = dark.all(axis=2)[:, :, None] | dark.all(axis=1)[:, None, :]
    for gray, pad in zip(gray_NHW, padding, strict=True):
        if pad.any() and not pad.all():
            gray[pad] = gray[~pad].mean()
    return gray_NHW.reshape(-1, SIDE, factor, SIDE, factor).mean(axis=(2, 4))


def _candidates(gray_NSS: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs a < b with similar descriptors, sorted, each with the symmetry under which b is most similar to a."""
    count = len(gray_NSS)
    descriptor_ND = np.ascontiguousarray(_descriptor(gray_NSS, 0, 0).reshape(count, -1))
    pairs: dict[tuple[int, int], int] = {}
    for start in range(0, count, CHUNK):
        shifted = [_descriptor(gray_NSS[start : start + CHUNK], y, x) for y in (-4, 0, 4) for x in (-4, 0, 4)]
        best = np.full((len(shifted[0]), count), -1.0, np.float32)
        best_symmetry = np.zeros(best.shape, np.int8)
        for symmetry in range(len(SYMMETRIES)):
            similarity = np.full_like(best, -1.0)
            for window in shifted:
                moved = apply_symmetry(window, symmetry).reshape(len(window), -1)
                np.maximum(similarity, moved @ descriptor_ND.T, out=similarity)
            best_symmetry[similarity > best] = symmetry
            np.maximum(best, similarity, out=best)
        rows = np.arange(len(best))
        best[rows, start + rows] = -1.0
        nearest = np.argpartition(best, -min(NEAREST, count), axis=1)[:, -NEAREST:]
        for row, column in zip(*np.nonzero(np.take_along_axis(best, nearest, axis=1) > CANDIDATE), strict=True):
            a, b = start + int(row), int(nearest[row, column])
            symmetry = int(best_symmetry[row, b])  # takes a to b
            pairs[min(a, b), max(a, b)] = INVERSE[symmetry] if a < b else symmetry
    table = np.array([(a, b, symmetry) for (a, b), symmetry in sorted(pairs.items())], dtype=int).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def apply_symmetry(image_NSS: np.ndarray, symmetry: int) -> np.ndarray:
    """Mirror left to right for symmetry ≥ 4, then rotate by (symmetry mod 4) · 90° counterclockwise."""
    return np.rot90(image_NSS[:, :, ::-1] if symmetry >= 4 else image_NSS, symmetry % 4, axes=(1, 2))


def _descriptor(gray_NSS: np.ndarray, y: int, x: int) -> np.ndarray:
    """Return block means of the 56-px window shifted by (y, x), centred and of unit length."""
    top, left = (SIDE - WINDOW) // 2 + y, (SIDE - WINDOW) // 2 + x
    window = gray_NSS[:, top : top + WINDOW, left : left + WINDOW]
    side = WINDOW // BLOCK
    return _unit(window.reshape(len(window), side, BLOCK, side, BLOCK).mean(axis=(2, 4)))


def _unit(image_NSS: np.ndarray) -> np.ndarray:
    centred = image_NSS - image_NSS.mean(axis=(1, 2), keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-6)


def _verify(
    gray_NSS: np.ndarray, a_P: np.ndarray, b_P: np.ndarray, symmetry_P: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return, per pair, the best normalized correlation of detail over shifts of b under its symmetry, and that shift."""
    detail = gray_NSS - ndimage.gaussian_filter(gray_NSS, (0, 2, 2))
    margin = (SIDE - DETAIL) // 2
    shifts = 2 * margin + 1
    best, shift = np.zeros(len(a_P), np.float32), np.zeros((len(a_P), 2), int)
    for symmetry in range(len(SYMMETRIES)):
        members = np.flatnonzero(symmetry_P == symmetry)
        for start in range(0, len(members), CHUNK):
            pairs = members[start : start + CHUNK]
            template = _unit(detail[a_P[pairs], margin : margin + DETAIL, margin : margin + DETAIL])
            image = apply_symmetry(detail[b_P[pairs]], symmetry)
            product = fft.rfft2(image) * np.conj(fft.rfft2(template, s=(SIDE, SIDE)))
            dot = fft.irfft2(product, s=(SIDE, SIDE))[:, :shifts, :shifts]
            energy = _window_sums(image * image) - _window_sums(image) ** 2 / DETAIL**2
            correlation = (dot / np.sqrt(np.maximum(energy, 1e-3))).reshape(len(pairs), -1)
            best[pairs] = correlation.max(axis=1)
            shift[pairs] = margin - np.stack(np.divmod(correlation.argmax(axis=1), shifts), axis=1)
    return best, shift


def _window_sums(image_PSS: np.ndarray) -> np.ndarray:
    """Return the sum over every 48-px window."""
    total = np.zeros((len(image_PSS), SIDE + 1, SIDE + 1))
    total[:, 1:, 1:] = image_PSS.astype(np.float64).cumsum(axis=1).cumsum(axis=2)
    rows = total[:, DETAIL:] - total[:, :-DETAIL]
    return rows[:, :, DETAIL:] - rows[:, :, :-DETAIL]
