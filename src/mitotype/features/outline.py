"""Size, regions and outline of a chromatin mask, computed per batch. Lengths in µm, areas in µm²."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from mitotype.core.schema import MPP_UM
from mitotype.features.masks import CENTRE, EDGE_DISTANCE, EIGHT, FOUR, PX, Chromatin, principal_axes
from mitotype.features.points import Points

DIRECTIONS = 32
ANGLE = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
GAP_PX = 2  # between tiled masks, so that neighbours do not touch


def size_descriptors(chromatin: Chromatin) -> dict[str, np.ndarray]:
    """Return areas, counts and satellites. A satellite is a selected region of less than a quarter of the main one's area."""
    regions, mask, main_region = chromatin.regions, chromatin.mask_BHW, chromatin.main_region_B
    patch, selected, batch = regions.patch_L, chromatin.selected_L, len(mask)
    area = np.maximum(mask.sum((1, 2)), 1).astype(float)
    main = np.maximum(regions.area_L[main_region], 1)
    other = selected.copy()
    other[main_region] = False
    second = np.zeros(batch)
    np.maximum.at(second, patch, np.where(other, regions.area_L, 0))
    small = other & (regions.area_L < 0.25 * main[patch])
    main_row, main_column = regions.row_L[main_region], regions.column_L[main_region]
    distance = np.hypot(regions.row_L - main_row[patch], regions.column_L - main_column[patch])
    share = np.where(selected, regions.area_L / area[patch], 0)

    def total(value: np.ndarray) -> np.ndarray:
        return np.bincount(patch, value, batch)

    return {
        "area": area * MPP_UM**2,
        "pieces": total(selected),
        "main_share": main / area,
        "second_share": second / main,
        "scatter": -total(share * np.log(np.maximum(share, 1e-12))),
        "satellites": total(small),
        "satellite_share": total(small * regions.area_L) / area,
        "satellite_distance": total(other * regions.area_L * distance) / area * MPP_UM,
        "off_centre": np.hypot(main_row - CENTRE, main_column - CENTRE) * MPP_UM,
        **{f"cut_{px}": (mask & (px > EDGE_DISTANCE)).sum((1, 2)) / area for px in (1, 3)},
    }


def outline_descriptors(chromatin: Chromatin) -> dict[str, np.ndarray]:
    """Return convexity, elongation, roughness, holes and Hu's moments of the main region and of all chromatin."""
    regions, mask, main, i = chromatin.regions, chromatin.mask_BHW, chromatin.main_BHW, chromatin.main_region_B
    pixels = Points.of_mask(mask)
    area_all = np.maximum(pixels.total(), 1)
    area_main = np.maximum(regions.area_L[i], 1)
    major, minor, _ = principal_axes(regions.var_row_L[i], regions.var_column_L[i], regions.cov_L[i])
    y, x = pixels.relative_to(*pixels.centroid(CENTRE))
    var_y, var_x = pixels.mean(y * y) + 1 / 12, pixels.mean(x * x) + 1 / 12
    major_all, minor_all, _ = principal_axes(var_y, var_x, pixels.mean(x * y))
    border_main, border_all = border(main), border(mask)
    hull_main, hull_length, longest, narrowest = hull(border_main)
    hull_all, _, longest_all, _ = hull(border_all)
    perimeter_main, perimeter_all = perimeter(border_main), perimeter(border_all)
    radius = np.hypot(y, x)
    mean_radius = pixels.mean(radius)
    max_radius = np.zeros(len(mask))
    np.maximum.at(max_radius, pixels.patch_N, radius)
    std_radius = np.sqrt(np.maximum(pixels.mean(radius**2) - mean_radius**2, 0))
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
        "circularity": 4 * np.pi * area_main / np.maximum(perimeter_main, 1) ** 2,
        "convexity": hull_length / np.maximum(perimeter_main, 1),
        "roughness": perimeter_all / (2 * np.sqrt(np.pi * area_all)),
        "euler": euler(main),
        "holes": np.bincount(regions.patch_L, chromatin.selected_L, len(mask)) - euler(mask),
        "mean_radius": mean_radius / np.sqrt(area_all),
        "spread": std_radius / np.maximum(mean_radius, 1e-6),
        "reach": max_radius / np.sqrt(area_all),
        **{f"hu{order}": value for order, value in enumerate(hu_moments(pixels), start=1)},
    }


def thickness_descriptors(chromatin: Chromatin) -> dict[str, np.ndarray]:
    """Return the skeleton, the thickness and the area after opening or closing by discs of 2 and 3 px (shares of the area)."""
    mask = chromatin.mask_BHW
    batch = len(mask)
    area = np.maximum(mask.sum((1, 2)), 1)
    tiles = tile(mask)
    depth = untile(ndimage.distance_transform_edt(tiles), batch)
    skeleton = untile(skeletonize(tiles), batch)
    length = skeleton.sum((1, 2))
    pixels = np.maximum(length, 1)
    half = (skeleton * depth).sum((1, 2)) / pixels
    half_std = np.sqrt(np.maximum((skeleton * depth**2).sum((1, 2)) / pixels - half**2, 0))
    neighbours = ndimage.convolve(
        skeleton.astype(np.uint8), EIGHT.astype(np.uint8), mode="constant"
    )  # with the pixel itself
    values = {
        "thickest": depth.max((1, 2)) * 2 * MPP_UM,
        "thickness": half * 2 * MPP_UM,
        "thickness_varies": half_std / np.maximum(half, 1e-6),
        "skeleton": length * MPP_UM,
        "skeleton_per_size": length / np.sqrt(area),
        "ends": (skeleton & (neighbours == 2)).sum((1, 2)),
        "branchings": (skeleton & (neighbours >= 4)).sum((1, 2)),
    }
    for px in (2, 3):
        opened = morph_disc(morph_disc(mask, px, dilate=False), px, dilate=True)
        closed = morph_disc(morph_disc(mask, px, dilate=True), px, dilate=False)
        values[f"opened_{px}"] = opened.sum((1, 2)) / area
        values[f"closed_{px}"] = closed.sum((1, 2)) / area
    return values


def morph_disc(mask_BHW: np.ndarray, px: int, *, dilate: bool) -> np.ndarray:
    """Return the dilation or erosion of each mask by a disc of radius `px`; pixels beyond the frame have no effect."""
    height, width = mask_BHW.shape[1:]
    padded = np.pad(mask_BHW if dilate else ~mask_BHW, ((0, 0), (px, px), (px, px)), constant_values=False)
    out = np.zeros(mask_BHW.shape, bool)
    for down in range(-px, px + 1):
        for right in range(-px, px + 1):
            if down**2 + right**2 <= (px + 0.3) ** 2:
                out |= padded[:, px + down : px + down + height, px + right : px + right + width]
    return out if dilate else ~out


def tile(mask_BHW: np.ndarray) -> np.ndarray:
    """Return the masks as one image with 2 px of background around each."""
    batch = len(mask_BHW)
    side = int(np.ceil(np.sqrt(batch)))
    tiles = np.zeros((side * side, PX + 2 * GAP_PX, PX + 2 * GAP_PX), bool)
    tiles[:batch, GAP_PX:-GAP_PX, GAP_PX:-GAP_PX] = mask_BHW
    grid = tiles.reshape(side, side, *tiles.shape[1:]).transpose(0, 2, 1, 3)
    return grid.reshape(side * tiles.shape[1], side * tiles.shape[2])


def untile(image: np.ndarray, batch: int) -> np.ndarray:
    """Return the B masks of `tile`, 64 px each."""
    step = PX + 2 * GAP_PX
    side = image.shape[0] // step
    tiles = image.reshape(side, step, side, step).transpose(0, 2, 1, 3).reshape(side * side, step, step)
    return tiles[:batch, GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]


def hull(border_BHW: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return area (px²) and length (px) of the convex hull of each border, and its largest and smallest width (Feret, px).

    By the support function h(φ) = max over the pixels' corners of x cos φ + y sin φ in 32 directions: the polygon of
    the supporting lines contains the hull and is about 1 % larger. 0 for an empty mask.
    """
    batch = len(border_BHW)
    patch, row, column = np.nonzero(border_BHW)
    corner = 0.5 * (np.abs(np.sin(ANGLE)) + np.abs(np.cos(ANGLE)))
    projection = row[:, None] * np.sin(ANGLE) + column[:, None] * np.cos(ANGLE) + corner
    support = np.zeros((batch, DIRECTIONS))
    present, first = np.unique(patch, return_index=True)
    if len(present):
        support[present] = np.maximum.reduceat(projection, first, axis=0)
    step = 2 * np.pi / DIRECTIONS
    following = np.roll(support, -1, 1)
    x = (support * np.sin(ANGLE + step) - following * np.sin(ANGLE)) / np.sin(step)
    y = (following * np.cos(ANGLE) - support * np.cos(ANGLE + step)) / np.sin(step)
    area = 0.5 * (x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)
    length = np.hypot(x - np.roll(x, -1, 1), y - np.roll(y, -1, 1)).sum(1)
    width = support + np.roll(support, DIRECTIONS // 2, 1)
    return area, length, width.max(1), width.min(1)


_EDGE_LENGTH = np.zeros(256)
_EDGE_LENGTH[[5, 7, 15, 17, 25, 27]] = 1
_EDGE_LENGTH[[21, 33]] = np.sqrt(2)
_EDGE_LENGTH[[13, 23]] = (1 + np.sqrt(2)) / 2


def border(mask_BHW: np.ndarray) -> np.ndarray:
    """Return the pixels of each mask with a background pixel at a side (beyond the frame is background)."""
    return mask_BHW & ~ndimage.binary_erosion(mask_BHW, FOUR)


def perimeter(border_BHW: np.ndarray) -> np.ndarray:
    """Return the length of each border (px) by the weights of Benkrid, Crookes and Benkrid (2000), as in scikit-image."""
    code = np.zeros(border_BHW.shape, np.uint8)
    padded = np.pad(border_BHW, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    for row in range(3):
        for column in range(3):
            weight = (1, 2, 10)[abs(row - 1) + abs(column - 1)]
            code += weight * padded[:, row : row + PX, column : column + PX]
    return _EDGE_LENGTH[code].sum((1, 2))


def euler(mask_BHW: np.ndarray) -> np.ndarray:
    """Return the number of regions minus holes, counted over 2 × 2 quads (eight neighbours): (Q1 - Q3 - 2 Qd) / 4, after Gray (1971)."""
    padded = np.pad(mask_BHW, ((0, 0), (1, 1), (1, 1)))
    a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    count = a.astype(np.int8) + b + c + d
    diagonal = (count == 2) & (a == d)
    return ((count == 1).sum((1, 2)) - (count == 3).sum((1, 2)) - 2 * diagonal.sum((1, 2))) / 4


def hu_moments(pixels: Points) -> list[np.ndarray]:
    """Return the first four of Hu's (1962) invariants, from scale-normalised central moments η_pq = µ_pq / µ_00^(1 + (p+q)/2)."""
    y, x = pixels.relative_to(*pixels.centroid(CENTRE))
    area = np.maximum(pixels.total(), 1)
    e20, e02, e11 = (pixels.total(value) / area**2 for value in (x * x, y * y, x * y))
    e30, e03, e21, e12 = (pixels.total(value) / area**2.5 for value in (x * x * x, y * y * y, x * x * y, x * y * y))
    return [
        e20 + e02,
        (e20 - e02) ** 2 + 4 * e11**2,
        (e30 - 3 * e12) ** 2 + (3 * e21 - e03) ** 2,
        (e30 + e12) ** 2 + (e21 + e03) ** 2,
    ]
