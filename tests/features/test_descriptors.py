"""Shape descriptors against closed forms, brute force and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage import filters, measure
from skimage import morphology as shapes

from mitotype.features import features
from mitotype.features.masks import (
    CENTRE,
    COLUMN,
    DISC,
    PX,
    ROW,
    center_crop,
    chromatin_channels,
    label_regions,
    otsu_threshold,
    principal_axes,
    segment_chromatin,
)
from mitotype.features.morphology import CHUNK, NAMES, morphology
from mitotype.features.outline import (
    border,
    euler,
    hu_moments,
    hull,
    morph_disc,
    outline_descriptors,
    perimeter,
    size_descriptors,
    thickness_descriptors,
    tile,
    untile,
)
from mitotype.features.points import Points, bilinear
from mitotype.features.symmetry import point_symmetry, symmetry_descriptors


def blobs(count: int = 6, seed: int = 0) -> np.ndarray:
    """Random smooth masks with several regions and holes."""
    noise = np.random.default_rng(seed).normal(size=(count, PX, PX))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3))
    mask = smooth > np.quantile(smooth, 0.8)
    mask[:, :2], mask[:, -2:], mask[:, :, :2], mask[:, :, -2:] = False, False, False, False
    return mask


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return (ROW - row) ** 2 + (COLUMN - column) ** 2 <= radius**2


def figure_image(mask_HW: np.ndarray) -> np.ndarray:
    """A dark violet figure on pink, as `image_3HW` of 128 px with the 64-px mask at its centre."""
    image = np.empty((3, 128, 128), np.uint8)
    image[:] = np.array([225, 170, 205], np.uint8)[:, None, None]
    image[:, 32:96, 32:96][:, mask_HW] = np.array([60, 35, 110], np.uint8)[:, None]
    return image


def measured(mask_HW: np.ndarray) -> dict[str, float]:
    result = morphology(figure_image(mask_HW)[None])
    return dict(zip(result.names, result.value_BD[0].tolist(), strict=True))


def test_otsu_against_scikit_image() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([np.r_[rng.normal(0, 1, 3000), rng.normal(at, 1, 600)] for at in (4, 6, 9)])
    for value, ours in zip(values, otsu_threshold(values), strict=True):
        theirs = filters.threshold_otsu(value, nbins=64)
        assert abs(ours - theirs) <= 1.01 * np.ptp(value) / 64  # one bin: theirs is its middle, ours its end


def test_regions_against_regionprops() -> None:
    mask = blobs()
    regions = label_regions(mask)
    label = 1
    for patch, mask_HW in enumerate(mask):
        for region in sorted(
            measure.regionprops(measure.label(mask_HW, connectivity=2)), key=lambda region: region.label
        ):
            major, minor, _ = principal_axes(
                regions.var_row_L[label], regions.var_column_L[label], regions.cov_L[label]
            )
            assert regions.patch_L[label] == patch
            assert regions.area_L[label] == region.area
            assert (regions.row_L[label], regions.column_L[label]) == pytest.approx(region.centroid)
            # to scikit-image a pixel is a point; here it is a square, of second moment 1/12
            assert 4 * np.sqrt(major - 1 / 12) == pytest.approx(region.axis_major_length)
            assert 4 * np.sqrt(max(minor - 1 / 12, 0)) == pytest.approx(region.axis_minor_length, abs=1e-4)
            label += 1
    assert label == len(regions.area_L)


def test_outline_against_scikit_image() -> None:
    mask = blobs()
    hull_area, _, longest, _ = hull(border(mask))
    moments = np.stack(hu_moments(Points.of_mask(mask)), axis=1)
    for index, mask_HW in enumerate(mask):
        assert perimeter(border(mask))[index] == pytest.approx(measure.perimeter(mask_HW))
        assert euler(mask)[index] == measure.euler_number(mask_HW, connectivity=2)
        central = measure.moments_central(mask_HW.astype(float))
        assert moments[index] == pytest.approx(measure.moments_hu(measure.moments_normalized(central))[:4])
        row, column = np.nonzero(mask_HW)
        corners = np.concatenate([np.stack([row + y, column + x], 1) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
        assert hull_area[index] == pytest.approx(ConvexHull(corners).volume, rel=0.03)
        apart = np.hypot(row[:, None] - row, column[:, None] - column).max()
        assert apart - 0.5 <= longest[index] <= apart + 1.5  # from corner to corner of the pixels


def test_hull_of_a_rectangle_is_exact() -> None:
    mask = np.zeros((2, PX, PX), bool)
    mask[0, 10:20, 5:35] = True
    area, length, longest, narrowest = hull(border(mask))
    assert (area[0], length[0], narrowest[0]) == pytest.approx((300, 80, 10))
    assert longest[0] == pytest.approx(np.hypot(10, 30), rel=0.01)
    assert area[1] == 0


def test_morphology_by_a_disc_against_scipy() -> None:
    mask = blobs()
    for px in (2, 3):
        reach = np.arange(-px, px + 1)
        foot = reach[:, None] ** 2 + reach**2 <= (px + 0.3) ** 2
        for index, mask_HW in enumerate(mask):
            grown = ndimage.binary_dilation(mask_HW, foot)
            assert (morph_disc(mask, px, dilate=True)[index] == grown).all()
            assert (
                morph_disc(mask, px, dilate=False)[index] == ndimage.binary_erosion(mask_HW, foot, border_value=1)
            ).all()


def test_untile_inverts_tile_and_tiles_do_not_touch() -> None:
    mask = blobs(5)
    assert (untile(tile(mask), 5) == mask).all()
    full = np.ones((5, PX, PX), bool)
    together = untile(shapes.skeletonize(tile(full)), 5)
    assert all((mask_HW == together[0]).all() for mask_HW in together)


def test_point_symmetry_is_the_overlap_with_the_rotated_mask() -> None:
    mask = blobs()
    row, column = Points.of_mask(mask).centroid(CENTRE)
    symmetry = point_symmetry(mask, Points.of_mask(mask))
    for index, mask_HW in enumerate(mask):
        at_row, at_column = 2 * row[index] - ROW, 2 * column[index] - COLUMN
        rotated = ndimage.map_coordinates(mask_HW.astype(float), [at_row, at_column], order=1)
        assert symmetry[index] == pytest.approx((mask_HW * rotated).sum() / mask_HW.sum(), rel=1e-4)


def test_bilinear_values() -> None:
    image = np.random.default_rng(0).random((2, PX, PX)).astype(np.float32)
    row, column = np.random.default_rng(1).uniform(-3, PX + 2, (2, 500))
    theirs = [ndimage.map_coordinates(mask_HW, [row, column], order=1, mode="grid-constant") for mask_HW in image]
    for patch in (0, 1):
        assert bilinear(image, np.full(500, patch), row, column) == pytest.approx(theirs[patch], abs=1e-5)


def test_chromatin_is_near_and_large() -> None:
    channel = np.zeros((1, PX, PX), np.float32)
    channel[0] += disc(31.5, 31.5, 6) + disc(31.5, 45, 3) + disc(4, 4, 4)
    channel[0, 40, 40] = 1  # noise
    chromatin = segment_chromatin(channel)
    assert chromatin.mask_BHW[0, 31, 31] and chromatin.mask_BHW[0, 31, 45]
    assert not chromatin.mask_BHW[0, 4, 4] and not chromatin.mask_BHW[0, 40, 40]
    assert (chromatin.main_BHW[0] == (disc(31.5, 31.5, 6))).all()
    values = size_descriptors(chromatin)
    assert values["pieces"] == 2
    assert values["satellites"] == 1 and values["satellite_share"] == pytest.approx(
        disc(31.5, 45, 3).sum() / chromatin.mask_BHW.sum()
    )
    assert values["off_centre"] == pytest.approx(0, abs=1e-6)


def test_a_disc_has_the_shape_of_a_disc() -> None:
    channel = disc(31.5, 31.5, 10)[None].astype(np.float32)
    chromatin = segment_chromatin(channel)
    groups = (size_descriptors, outline_descriptors, thickness_descriptors, symmetry_descriptors)
    values = {key: float(value[0]) for group in groups for key, value in group(chromatin).items()}
    assert values["area"] == pytest.approx(np.pi * 2.5**2, rel=0.02)
    assert values["symmetry"] == pytest.approx(1) and values["mirror"] == pytest.approx(1, abs=0.02)
    assert values["solidity"] > 0.92 and values["eccentricity"] < 0.1 and values["circularity"] > 0.9
    assert values["euler"] == 1 and values["holes"] == 0 and values["satellites"] == 0 and values["scatter"] == 0
    assert values["thickest"] == pytest.approx(5, rel=0.1) and values["longest"] == pytest.approx(5.25, abs=0.1)
    assert values["width_to_length"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("arms", "wave"), [(2, "wave2"), (3, "wave3"), (4, "wave4")])
def test_waves_count_the_arms(arms: int, wave: str) -> None:
    angle = np.arange(arms) * 2 * np.pi / arms + 0.3
    mask = np.logical_or.reduce([disc(31.5 + 11 * np.sin(a), 31.5 + 11 * np.cos(a), 4) for a in angle])
    values = measured(mask)
    shares = {f"wave{m}": values[f"red_wave{m}"] for m in (1, 2, 3, 4)}
    assert max(shares, key=lambda name: shares[name]) == wave
    assert (values["red_symmetry"] > 0.9) == (arms % 2 == 0)
    assert values["red_mirror"] > 0.9
    assert values["red_pieces"] == arms


def test_a_lopsided_figure_is_less_symmetric() -> None:
    even, lone = disc(31.5, 22, 5) | disc(31.5, 41, 5), disc(31.5, 22, 5) | disc(31.5, 41, 2.5)
    assert measured(even)["haem_symmetry"] > measured(lone)["haem_symmetry"] + 0.1
    assert measured(even)["haem_wave1"] < measured(lone)["haem_wave1"]


def test_a_rotated_image_has_the_same_shape() -> None:
    mask = blobs(1, seed=4)[0] & DISC
    plain, rotated = measured(mask), measured(np.rot90(mask))
    inexact = {
        name for name in NAMES if "skeleton" in name or "ends" in name or "branchings" in name or "thick" in name
    }
    for name in set(NAMES) - inexact:  # thinning depends on the orientation
        assert rotated[name] == pytest.approx(plain[name], rel=0.02, abs=0.02), name


def test_a_patch_does_not_depend_on_its_batch() -> None:
    images = np.stack([figure_image(mask) for mask in blobs(5)])
    alone = np.concatenate([morphology(images[i : i + 1]).value_BD for i in range(5)])
    assert morphology(images).value_BD == pytest.approx(alone, rel=1e-4, abs=1e-5, nan_ok=True)
    many = np.arange(CHUNK + 3) % 5
    assert morphology(images[many]).value_BD == pytest.approx(alone[many], rel=1e-4, abs=1e-5, nan_ok=True)


def test_no_chromatin_is_nan() -> None:
    blank = np.full((1, 3, 64, 64), 220, np.uint8)
    black = np.zeros((1, 3, 64, 64), np.uint8)
    for image in (blank, black):
        assert np.isnan(morphology(image).value_BD).all()
    assert np.isfinite(morphology(figure_image(disc(31.5, 31.5, 8))[None]).value_BD).all()
    assert morphology(np.empty((0, 3, 64, 64), np.uint8)).value_BD.shape == (0, len(NAMES))


def test_black_padding_is_not_chromatin() -> None:
    image = figure_image(disc(31.5, 31.5, 8))
    padded = image.copy()
    padded[:, :36] = 0
    assert morphology(padded[None]).value_BD == pytest.approx(morphology(image[None]).value_BD, rel=0.02, abs=0.02)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 3, 63, 64), (1, 1, 64, 64)])
def test_images_of_another_shape_or_dtype_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        morphology(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        morphology(np.zeros((1, 3, 64, 64), np.float32))


def test_the_centre_is_cropped_like_the_patches() -> None:
    image = np.zeros((1, 3, 130, 128), np.uint8)
    image[0, :, 65, 64] = 255
    assert center_crop(image)[0, 0, PX // 2, PX // 2] == 255
    assert set(chromatin_channels(image)) == {"red", "fine", "haem"}


def test_the_feature_is_described() -> None:
    feature = features.get("morphology")
    assert feature.names == NAMES and len(set(NAMES)) == len(NAMES)
    for descriptor in feature.descriptors:
        mask, _, trait = descriptor.name.partition("_")
        assert mask in feature.masks and descriptor.trait == trait and trait in feature.traits
        assert all((descriptor.unit, descriptor.meaning, descriptor.high, descriptor.low))
        assert descriptor.high != descriptor.low
    assert feature.compute(np.stack([figure_image(disc(31.5, 31.5, 8))])).names == NAMES
