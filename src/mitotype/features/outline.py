"""Size, pieces and outline of a chromatin mask, for a whole batch at once. Lengths in µm, areas in µm²."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mitotype.core.words import MPP_UM
from mitotype.features.masks import CENTRE, EIGHT, FOUR, FROM_EDGE, PX, Chromatin, axes
from mitotype.features.points import Points, points

DIRECTIONS = 32
ANGLE = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
GAP_PX = 2  # between the tiles of a mosaic, so that neighbours do not touch


def sizes(found: Chromatin) -> dict[str, np.ndarray]:
    """Areas, pieces and satellites. A satellite is a kept piece of less than a quarter of the main one."""
    part, batch = found.pieces, len(found.kept_BHW)
    own, near = part.patch_L, found.near_L
    area = np.maximum(found.kept_BHW.sum((1, 2)), 1).astype(float)
    main = np.maximum(part.area_L[found.main_B], 1)
    other = near.copy()
    other[found.main_B] = False
    second = np.zeros(batch)
    np.maximum.at(second, own, np.where(other, part.area_L, 0))
    small = other & (part.area_L < 0.25 * main[own])
    away = np.hypot(part.row_L - part.row_L[found.main_B][own], part.column_L - part.column_L[found.main_B][own])
    share = np.where(near, part.area_L / area[own], 0)

    def total(value: np.ndarray) -> np.ndarray:
        return np.bincount(own, value, batch)

    return {
        "area": area * MPP_UM**2,
        "pieces": total(near),
        "main_share": main / area,
        "second_share": second / main,
        "scatter": -total(share * np.log(np.maximum(share, 1e-12))),
        "satellites": total(small),
        "satellite_share": total(small * part.area_L) / area,
        "satellite_distance": total(other * part.area_L * away) / area * MPP_UM,
        "off_centre": np.hypot(part.row_L[found.main_B] - CENTRE, part.column_L[found.main_B] - CENTRE) * MPP_UM,
        **{f"cut_{px}": (found.kept_BHW & (px > FROM_EDGE)).sum((1, 2)) / area for px in (1, 3)},
    }


def outlines(found: Chromatin) -> dict[str, np.ndarray]:
    """Convexity, elongation, roughness, holes and Hu's moments of the main piece and of all kept chromatin."""
    part, kept, main = found.pieces, found.kept_BHW, found.main_BHW
    pixel = points(kept)
    area_all = np.maximum(pixel.total(), 1)
    area_main = np.maximum(part.area_L[found.main_B], 1)
    major, minor, _ = axes(part.var_row_L[found.main_B], part.var_column_L[found.main_B], part.cov_L[found.main_B])
    y, x = pixel.about(*pixel.centroid(CENTRE))
    major_all, minor_all, _ = axes(pixel.mean(y * y) + 1 / 12, pixel.mean(x * x) + 1 / 12, pixel.mean(x * y))
    border_main, border_all = border(main), border(kept)
    hull_main, round_main, longest, narrowest = hull(border_main)
    hull_all, _, longest_all, _ = hull(border_all)
    edge_main, edge_all = perimeter(border_main), perimeter(border_all)
    radius = np.hypot(y, x)
    mean_radius = pixel.mean(radius)
    furthest = np.zeros(len(kept))
    np.maximum.at(furthest, pixel.patch_N, radius)
    spread = np.sqrt(np.maximum(pixel.mean(radius**2) - mean_radius**2, 0))
    return {
        "solidity": area_main / np.maximum(hull_main, 1),
        "solidity_all": area_all / np.maximum(hull_all, 1),
        "eccentricity": np.sqrt(np.maximum(1 - minor / major, 0)),
        "width_to_length": np.sqrt(minor_all / major_all),
        "length": np.sqrt(major_all) * 4 * MPP_UM,
        "width": np.sqrt(minor_all) * 4 * MPP_UM,
        "longest": longest * MPP_UM,
        "narrowest": narrowest * MPP_UM,
        "longest_all": longest_all * MPP_UM,
        "circularity": 4 * np.pi * area_main / np.maximum(edge_main, 1) ** 2,
        "convexity": round_main / np.maximum(edge_main, 1),
        "roughness": edge_all / (2 * np.sqrt(np.pi * area_all)),
        "euler": euler(main),
        "holes": np.bincount(part.patch_L, found.near_L, len(kept)) - euler(kept),
        "mean_radius": mean_radius / np.sqrt(area_all),
        "spread": spread / np.maximum(mean_radius, 1e-6),
        "reach": furthest / np.sqrt(area_all),
        **{f"hu{order}": value for order, value in enumerate(hu_moments(pixel), start=1)},
    }


def thickness(found: Chromatin) -> dict[str, np.ndarray]:
    """Skeleton, thickness and what an opening or a closing by discs of 2 and 3 px leaves (shares of the area)."""
    from skimage.morphology import skeletonize

    kept = found.kept_BHW
    area = np.maximum(kept.sum((1, 2)), 1)
    tiles = mosaic(kept)
    depth = tiled(ndimage.distance_transform_edt(tiles), len(kept))
    spine = tiled(skeletonize(tiles), len(kept))
    length = spine.sum((1, 2))
    along = np.maximum(length, 1)
    half = (spine * depth).sum((1, 2)) / along
    varied = np.sqrt(np.maximum((spine * depth**2).sum((1, 2)) / along - half**2, 0))
    around = ndimage.convolve(spine.astype(np.uint8), EIGHT.astype(np.uint8), mode="constant")  # counts itself too
    values = {
        "thickest": depth.max((1, 2)) * 2 * MPP_UM,
        "thickness": half * 2 * MPP_UM,
        "thickness_varies": varied / np.maximum(half, 1e-6),
        "skeleton": length * MPP_UM,
        "skeleton_per_size": length / np.sqrt(area),
        "ends": (spine & (around == 2)).sum((1, 2)),
        "branchings": (spine & (around >= 4)).sum((1, 2)),
    }
    for px in (2, 3):
        values[f"opened_{px}"] = swept(swept(kept, px, grow=False), px, grow=True).sum((1, 2)) / area
        values[f"closed_{px}"] = swept(swept(kept, px, grow=True), px, grow=False).sum((1, 2)) / area
    return values


def swept(mask_BHW: np.ndarray, px: int, *, grow: bool) -> np.ndarray:
    """Dilation (`grow`) or erosion of each mask by a disc of radius `px`; what lies beyond the frame neither grows nor eats."""
    height, width = mask_BHW.shape[1:]
    framed = np.pad(mask_BHW if grow else ~mask_BHW, ((0, 0), (px, px), (px, px)), constant_values=False)
    total = np.zeros(mask_BHW.shape, bool)
    for down in range(-px, px + 1):
        for right in range(-px, px + 1):
            if down**2 + right**2 <= (px + 0.3) ** 2:
                total |= framed[:, px + down : px + down + height, px + right : px + right + width]
    return total if grow else ~total


def mosaic(mask_BHW: np.ndarray) -> np.ndarray:
    """The masks as one picture with 2 px of ground about each."""
    batch = len(mask_BHW)
    side = int(np.ceil(np.sqrt(batch)))
    tiles = np.zeros((side * side, PX + 2 * GAP_PX, PX + 2 * GAP_PX), bool)
    tiles[:batch, GAP_PX:-GAP_PX, GAP_PX:-GAP_PX] = mask_BHW
    wide = tiles.reshape(side, side, *tiles.shape[1:]).transpose(0, 2, 1, 3)
    return wide.reshape(side * tiles.shape[1], side * tiles.shape[2])


def tiled(picture: np.ndarray, batch: int) -> np.ndarray:
    """The B tiles of a `mosaic` back, 64 px each."""
    step = PX + 2 * GAP_PX
    side = picture.shape[0] // step
    tiles = picture.reshape(side, step, side, step).transpose(0, 2, 1, 3).reshape(side * side, step, step)
    return tiles[:batch, GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]


def hull(border_BHW: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Area (px²) and length (px) of the hull of each border, its largest and its smallest width (Feret, px).

    By the support function h(φ) = max over the pixels' corners of x cos φ + y sin φ in 32 directions: the polygon of
    the supporting lines holds the hull and is about one in a hundred larger. 0 for an empty mask.
    """
    batch = len(border_BHW)
    patch, row, column = np.nonzero(border_BHW)
    corner = 0.5 * (np.abs(np.sin(ANGLE)) + np.abs(np.cos(ANGLE)))
    reach = row[:, None] * np.sin(ANGLE) + column[:, None] * np.cos(ANGLE) + corner
    support = np.zeros((batch, DIRECTIONS))
    present, first = np.unique(patch, return_index=True)
    if len(present):
        support[present] = np.maximum.reduceat(reach, first, axis=0)
    step = 2 * np.pi / DIRECTIONS
    after = np.roll(support, -1, 1)
    x = (support * np.sin(ANGLE + step) - after * np.sin(ANGLE)) / np.sin(step)
    y = (after * np.cos(ANGLE) - support * np.cos(ANGLE + step)) / np.sin(step)
    area = 0.5 * (x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)
    length = np.hypot(x - np.roll(x, -1, 1), y - np.roll(y, -1, 1)).sum(1)
    width = support + np.roll(support, DIRECTIONS // 2, 1)
    return area, length, width.max(1), width.min(1)


_STEP = np.zeros(256)
_STEP[[5, 7, 15, 17, 25, 27]] = 1
_STEP[[21, 33]] = np.sqrt(2)
_STEP[[13, 23]] = (1 + np.sqrt(2)) / 2


def border(mask_BHW: np.ndarray) -> np.ndarray:
    """The pixels of each mask that touch the ground with a side (beyond the frame is ground)."""
    return mask_BHW & ~ndimage.binary_erosion(mask_BHW, FOUR)


def perimeter(border_BHW: np.ndarray) -> np.ndarray:
    """Length of each border (px) by the weights of Benkrid, Crookes and Benkrid (2000), as scikit-image has it."""
    code = np.zeros(border_BHW.shape, np.uint8)
    framed = np.pad(border_BHW, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    for row in range(3):
        for column in range(3):
            weight = (1, 2, 10)[abs(row - 1) + abs(column - 1)]
            code += weight * framed[:, row : row + PX, column : column + PX]
    return _STEP[code].sum((1, 2))


def euler(mask_BHW: np.ndarray) -> np.ndarray:
    """Pieces less holes, counted over 2 × 2 quads (eight neighbours): (Q1 - Q3 - 2 Qd) / 4, after Gray (1971)."""
    framed = np.pad(mask_BHW, ((0, 0), (1, 1), (1, 1)))
    a, b, c, d = framed[:, :-1, :-1], framed[:, :-1, 1:], framed[:, 1:, :-1], framed[:, 1:, 1:]
    count = a.astype(np.int8) + b + c + d
    diagonal = (count == 2) & (a == d)
    return ((count == 1).sum((1, 2)) - (count == 3).sum((1, 2)) - 2 * diagonal.sum((1, 2))) / 4


def hu_moments(pixel: Points) -> list[np.ndarray]:
    """The first four of Hu's (1962) invariants, of scale-normalised central moments η_pq = µ_pq / µ_00^(1 + (p+q)/2)."""
    y, x = pixel.about(*pixel.centroid(CENTRE))
    area = np.maximum(pixel.total(), 1)
    e20, e02, e11 = (pixel.total(value) / area**2 for value in (x * x, y * y, x * y))
    e30, e03, e21, e12 = (pixel.total(value) / area**2.5 for value in (x * x * x, y * y * y, x * x * y, x * y * y))
    return [
        e20 + e02,
        (e20 - e02) ** 2 + 4 * e11**2,
        (e30 - 3 * e12) ** 2 + (3 * e21 - e03) ** 2,
        (e30 + e12) ** 2 + (e21 + e03) ** 2,
    ]
