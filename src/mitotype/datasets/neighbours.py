"""Near duplicates among pictures: shifted by a few px, turned or mirrored, compressed, resampled or recoloured.

1. Each picture becomes 64 × 64 grey values: its centre, black padding filled with the mean.
2. Descriptor: 8 × 8 block means of a 56-px window, centred and of unit length. Every picture's window is compared, by one
   matrix product per turn and place, with all others' windows turned by the eight symmetries of the square and moved by
   −4, 0, 4 px on both axes; its NEAREST best pairs over LIKE go on.
3. Proof: normalised correlation of the detail (the picture less its Gaussian blur) of a 48-px window over all shifts up to
   8 px. Different figures stay under .4, copies over .8; PROVEN lies between.

Shapes: N pictures, P pairs, S = 64 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIDE, WINDOW, PROOF = 64, 56, 48
BLOCK = 7
NEAREST, LIKE, PROVEN = 6, 0.65, 0.5
ROWS = 512  # pictures compared with all others at a time: bounds the memory
DARK = 10  # a border row or column that is darker throughout is padding
TURNS = ("as it is", "turned 90°", "turned 180°", "turned 270°", "mirrored", "mirrored, turned 90°", "mirrored, turned 180°",
         "mirrored, turned 270°")  # fmt: skip


@dataclass(frozen=True)
class Near:
    """Pictures `a` < `b` (positions) show one figure: `b`, turned as said, moved by (down, right) px, is `a`."""

    a: int
    b: int
    correlation: float
    turn: str
    shift_px: tuple[int, int]


def near_duplicates(grey_NSS: np.ndarray, factor: int = 1) -> list[Near]:
    """The pairs of near duplicates among pictures given as `grey` values, sorted by position.

    factor: px per grey value, by which shifts are told.
    """
    if len(grey_NSS) < 2:
        return []
    first, second, turn = _candidates(grey_NSS)
    correlation, shift = _proof(grey_NSS, first, second, turn)
    found = [
        Near(int(a), int(b), float(c), TURNS[t], (int(s[0]) * factor, int(s[1]) * factor))
        for a, b, t, c, s in zip(first, second, turn, correlation, shift, strict=True)
        if c >= PROVEN
    ]
    return sorted(found, key=lambda near: (near.a, near.b))


def grey(image_N3HW: np.ndarray, factor: int) -> np.ndarray:
    """The central 64·factor px of uint8 pictures as 64 × 64 grey means, float32, padding filled with the mean of the rest."""
    import numpy as np

    if not len(image_N3HW):
        return np.empty((0, SIDE, SIDE), np.float32)
    return np.concatenate([_grey(image_N3HW[low : low + ROWS], factor) for low in range(0, len(image_N3HW), ROWS)])


def _grey(image_N3HW: np.ndarray, factor: int) -> np.ndarray:
    import numpy as np

    height, width = image_N3HW.shape[-2:]
    side = SIDE * factor
    top, left = (height - side) // 2, (width - side) // 2
    value = image_N3HW[:, :, top : top + side, left : left + side].astype(np.float32).mean(axis=1)
    dark = value <= DARK
    padding = dark.all(axis=2)[:, :, None] | dark.all(axis=1)[:, None, :]
    for image, pad in zip(value, padding, strict=True):
        if pad.any() and not pad.all():
            image[pad] = image[~pad].mean()
    return value.reshape(len(value), SIDE, factor, SIDE, factor).mean(axis=(2, 4))


def _candidates(grey_NSS: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs a < b whose descriptors are like, each with the turn of b that is likest to a."""
    import numpy as np

    count = len(grey_NSS)
    still_ND = np.ascontiguousarray(_window(grey_NSS, 0, 0).reshape(count, -1))
    pairs: dict[tuple[int, int], int] = {}
    for low in range(0, count, ROWS):
        moved = [_window(grey_NSS[low : low + ROWS], y, x) for y in (-4, 0, 4) for x in (-4, 0, 4)]
        best = np.full((len(moved[0]), count), -1.0, np.float32)
        which = np.zeros(best.shape, np.int8)
        for turn in range(len(TURNS)):
            likest = np.full_like(best, -1.0)
            for window in moved:
                np.maximum(likest, turned(window, turn).reshape(len(window), -1) @ still_ND.T, out=likest)
            which[likest > best] = turn
            np.maximum(best, likest, out=best)
        rows = np.arange(len(best))
        best[rows, low + rows] = -1.0
        nearest = np.argpartition(best, -min(NEAREST, count), axis=1)[:, -NEAREST:]
        for row, column in zip(*np.nonzero(np.take_along_axis(best, nearest, axis=1) > LIKE), strict=True):
            a, b = low + int(row), int(nearest[row, column])
            turn = int(which[row, b])  # turns a to b
            pairs[min(a, b), max(a, b)] = INVERSE[turn] if a < b else turn
    ordered = sorted(pairs.items())
    first, second = (np.array([pair[k] for pair, _ in ordered], dtype=int) for k in (0, 1))
    return first, second, np.array([turn for _, turn in ordered], dtype=int)


def turned(image_NSS: np.ndarray, turn: int) -> np.ndarray:
    """Mirrored left to right for turn ≥ 4, then turned by (turn mod 4) · 90° against the clock."""
    import numpy as np

    return np.rot90(image_NSS[:, :, ::-1] if turn >= 4 else image_NSS, turn % 4, axes=(1, 2))


INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)  # a mirror image turned back is its own inverse


def _window(grey_NSS: np.ndarray, y: int, x: int) -> np.ndarray:
    """Block means of the 56-px window moved by (y, x), centred and of unit length."""
    top, left = (SIDE - WINDOW) // 2 + y, (SIDE - WINDOW) // 2 + x
    cut = grey_NSS[:, top : top + WINDOW, left : left + WINDOW]
    side = WINDOW // BLOCK
    return _unit(cut.reshape(len(cut), side, BLOCK, side, BLOCK).mean(axis=(2, 4)))


def _unit(image_NSS: np.ndarray) -> np.ndarray:
    import numpy as np

    centred = image_NSS - image_NSS.mean(axis=(1, 2), keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-6)


def _proof(
    grey_NSS: np.ndarray, first: np.ndarray, second: np.ndarray, turn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best normalised correlation of detail over shifts of the turned second picture, and that shift (64-px grid)."""
    import numpy as np
    from scipy import fft, ndimage

    detail = grey_NSS - ndimage.gaussian_filter(grey_NSS, (0, 2, 2))
    margin = (SIDE - PROOF) // 2
    best, shift = np.zeros(len(first), np.float32), np.zeros((len(first), 2), int)
    for number in range(len(TURNS)):
        members = np.flatnonzero(turn == number)
        for low in range(0, len(members), ROWS):
            chosen = members[low : low + ROWS]
            inner = _unit(detail[first[chosen], margin : margin + PROOF, margin : margin + PROOF])
            whole = turned(detail[second[chosen]], number)
            product = fft.rfft2(whole) * np.conj(fft.rfft2(inner, s=(SIDE, SIDE)))
            places = 2 * margin + 1
            dot = fft.irfft2(product, s=(SIDE, SIDE))[:, :places, :places]
            energy = _box(whole * whole) - _box(whole) ** 2 / PROOF**2
            score = (dot / np.sqrt(np.maximum(energy, 1e-3))).reshape(len(chosen), -1)
            place = score.argmax(axis=1)
            best[chosen] = score.max(axis=1)
            shift[chosen] = margin - np.stack(np.divmod(place, places), axis=1)
    return best, shift


def _box(image_PSS: np.ndarray) -> np.ndarray:
    """Sums over every 48-px window."""
    import numpy as np

    total = np.zeros((len(image_PSS), SIDE + 1, SIDE + 1))
    total[:, 1:, 1:] = image_PSS.astype(np.float64).cumsum(axis=1).cumsum(axis=2)
    low, high = total[:, :-PROOF], total[:, PROOF:]
    return (high - low)[:, :, PROOF:] - (high - low)[:, :, :-PROOF]
