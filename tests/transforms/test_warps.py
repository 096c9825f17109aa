"""Warps against scipy and brute force: each alone, all of them in one resampling, and the bound on what they read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from mitotype.transforms import Augment, Frame
from mitotype.transforms.ops.affine import Affine
from mitotype.transforms.ops.d4 import D4
from mitotype.transforms.ops.elastic import Elastic, upsampling
from mitotype.transforms.ops.fisheye import Fisheye
from mitotype.transforms.resampling import resample
from mitotype.transforms.transform import Params, WarpOp
from tests.transforms.conftest import smooth


def read_at(image_B3HW: Tensor, x_BCC: np.ndarray, y_BCC: np.ndarray, crop_px: int) -> Tensor:
    """Bilinear reading by scipy at points in px from the centre of the crop; its "reflect" is ours."""
    height, width = image_B3HW.shape[2:]
    rows = y_BCC + height // 2 - crop_px // 2 + (crop_px - 1) / 2
    columns = x_BCC + width // 2 - crop_px // 2 + (crop_px - 1) / 2
    out = [
        np.stack([ndimage.map_coordinates(plane, [r, c], order=1, mode="reflect") for plane in image.numpy()])
        for image, r, c in zip(image_B3HW, rows, columns, strict=True)
    ]
    return torch.from_numpy(np.stack(out))


def points(batch: int, crop_px: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(crop_px) - (crop_px - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.broadcast_to(x, (batch, *x.shape)), np.broadcast_to(y, (batch, *y.shape))


def by_numpy(warp: WarpOp, x: np.ndarray, y: np.ndarray, params: Params, crop_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The equations of the docstrings, point by point or matrix by matrix, in float64."""
    d = {key: value.double().numpy() for key, value in params.items()}
    x_out, y_out = np.empty_like(x), np.empty_like(y)
    for b in range(len(x)):
        if isinstance(warp, Affine):

            def turn(angle: float) -> np.ndarray:
                return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

            stretch, axis = math.exp(d["log_stretch_B"][b]), d["axis_B"][b]
            matrix = turn(d["angle_B"][b]) @ turn(axis) @ np.diag([stretch, 1 / stretch]) @ turn(-axis)
            moved = matrix / math.exp(d["log_scale_B"][b]) @ np.stack([x[b].ravel(), y[b].ravel()])
            x_out[b], y_out[b] = (moved + d["shift_B2"][b][:, None]).reshape(2, *x[b].shape)
        elif isinstance(warp, Fisheye):
            k, radius = d["k_B"][b], np.hypot(x[b], y[b])
            r_source = radius * (1 - k + k * (radius / (crop_px / 2)) ** 2)
            angle = np.arctan2(y[b], x[b])
            x_out[b], y_out[b] = r_source * np.cos(angle), r_source * np.sin(angle)
        elif isinstance(warp, Elastic):
            up = upsampling(crop_px, warp.spacing).double().numpy()
            x_out[b], y_out[b] = (
                point + up @ u @ up.T for point, u in zip((x[b], y[b]), d["displacement_B2NN"][b], strict=True)
            )
        elif isinstance(warp, D4):
            element = int(d["element_B"][b])
            cos, sin = round(math.cos(element % 4 * math.pi / 2)), round(math.sin(element % 4 * math.pi / 2))
            x_out[b], y_out[b] = (cos * x[b] - sin * y[b]) * (-1 if element >= 4 else 1), sin * x[b] + cos * y[b]
    return x_out, y_out


WARPS: list[list[WarpOp]] = [
    [Affine()],
    [Affine(degrees=20, scale=0, stretch=0.4, shift=9)],
    [Fisheye(0.4)],
    [Elastic(3, 12)],
    [Affine(), Elastic(4, 16), Fisheye(0.3), D4()],
    [D4(), Fisheye(0.3), Elastic(2, 8), Affine(shift=5)],
]


@pytest.mark.parametrize(("height", "width", "crop_px"), [(128, 128, 64), (97, 84, 33), (40, 41, 40)])
@pytest.mark.parametrize("warps", WARPS, ids=lambda warps: "+".join(type(w).__name__ for w in warps))
def test_one_resampling_equals_scipy(
    warps: list[WarpOp], height: int, width: int, crop_px: int, generator: torch.Generator
) -> None:
    image_B3HW = torch.rand(3, 3, height, width, generator=generator)
    params = [warp.sample_params(3, generator, crop_px) for warp in warps]
    x, y = points(3, crop_px)
    for warp, d in zip(reversed(warps), reversed(params), strict=True):
        x, y = by_numpy(warp, x, y, d, crop_px)
    out = resample(image_B3HW, list(zip(warps, params, strict=True)), crop_px)
    assert torch.allclose(out, read_at(image_B3HW, x, y, crop_px), atol=2e-3)
    assert (out - read_at(image_B3HW, x, y, crop_px)).abs().mean() < 2e-5


@pytest.mark.parametrize("warps", WARPS, ids=lambda warps: "+".join(type(w).__name__ for w in warps))
def test_sources_are_within_the_stated_reach(warps: list[WarpOp], generator: torch.Generator) -> None:
    axis = torch.arange(64) - 31.5
    x, y, reach = axis.view(1, 1, -1), axis.view(1, -1, 1), 31.5 * math.sqrt(2)
    for warp in reversed(warps):
        x, y = warp.source_px(x, y, warp.sample_params(400, generator, 64), 64)
        reach = warp.reach_px(reach, 64)
    radius = torch.hypot(x, y).max()
    assert reach * 0.6 < radius <= reach + 1e-3


def test_affine_against_scipy_affine_transform() -> None:
    image = torch.rand(1, 3, 65, 65, generator=torch.Generator().manual_seed(4))
    angle, scale = math.radians(25), 1.2
    params = {"angle_B": torch.tensor([angle]), "log_scale_B": torch.tensor([math.log(scale)]),
             "log_stretch_B": torch.zeros(1), "axis_B": torch.zeros(1), "shift_B2": torch.tensor([[1.5, -3.0]])}  # fmt: skip
    out = Augment("affine | crop(33)").apply(image, {f"0.affine.{key}": value for key, value in params.items()})
    rows_columns = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / scale
    offset = np.array([-3.0, 1.5]) + 32 - rows_columns @ np.array([16, 16])
    expected = [
        ndimage.affine_transform(p.numpy(), rows_columns, offset, (33, 33), order=1, mode="reflect") for p in image[0]
    ]
    assert np.abs(out[0].numpy() - np.stack(expected)).max() < 1e-4


def test_a_shift_moves_the_source_by_pixels(image_B3HW: Tensor) -> None:
    augment = Augment("affine(degrees=0, scale=0, stretch=0, shift=4) | crop(32)")
    params = augment.sample_params(6, torch.Generator().manual_seed(0), 128)
    params["0.affine.shift_B2"] = torch.tensor([[3.0, -2.0]]).expand(6, 2)
    out = augment.apply(image_B3HW, params)
    assert torch.allclose(out, image_B3HW[:, :, 46:78, 51:83] / 255, atol=2e-5)


def test_params_fill_their_range_and_stay_in_it(generator: torch.Generator) -> None:
    params = Affine(degrees=90, scale=0.2, stretch=0.1, shift=3).sample_params(4000, generator, 64)
    for key, bound in (("angle_B", math.pi / 2), ("log_scale_B", math.log(1.2)), ("shift_B2", 3.0)):
        assert params[key].abs().max() <= bound
        assert params[key].abs().max() > 0.98 * bound and abs(params[key].mean()) < 0.05 * bound


@pytest.mark.parametrize(("crop_px", "spacing"), [(64, 12.0), (33, 8.0), (64, 63.0), (40, 100.0), (8, 4.0)])
def test_cubic_upsampling(crop_px: int, spacing: float) -> None:
    up_CN = upsampling(crop_px, spacing)
    nodes_N = (torch.arange(up_CN.shape[1]) - (up_CN.shape[1] - 1) / 2) * spacing
    assert torch.allclose(up_CN.sum(1), torch.ones(crop_px), atol=1e-6)
    assert torch.allclose(up_CN @ nodes_N, torch.arange(crop_px) - (crop_px - 1) / 2, atol=1e-4), (
        "keeps a straight line"
    )
    assert (up_CN != 0).sum(1).max() <= 4 and up_CN.abs().sum(1).max() <= 1.25 + 1e-6
    if crop_px % 2:
        assert up_CN[crop_px // 2].argmax() == up_CN.shape[1] // 2 and up_CN[crop_px // 2].max() == 1


def test_the_largest_elastic_rarely_folds(generator: torch.Generator) -> None:
    axis = torch.arange(64) - 31.5
    elastic = Elastic(4, 12)
    x, y = elastic.source_px(axis.view(1, 1, -1), axis.view(1, -1, 1), elastic.sample_params(1000, generator, 64), 64)
    x_x, y_x = (v[:, 1:, 1:] - v[:, 1:, :-1] for v in (x, y))
    x_y, y_y = (v[:, 1:, 1:] - v[:, :-1, 1:] for v in (x, y))
    assert ((x_x * y_y - x_y * y_x).flatten(1).amin(1) <= 0).float().mean() <= 0.003


def test_fisheye_magnifies_the_centre_and_keeps_the_inscribed_circle() -> None:
    fisheye, r = Fisheye(0.5), torch.tensor([[[0.01, 32.0, 40.0]]])
    x, y = fisheye.source_px(r, torch.zeros(1, 1, 1), {"k_B": torch.tensor([0.5])}, 64)
    assert torch.allclose(x.flatten() / r.flatten(), torch.tensor([0.5, 1.0, 0.5 + 0.5 * (40 / 32) ** 2]), atol=1e-4)
    assert torch.all(y == 0)


class InverseFisheye(Fisheye):
    """The fisheye undone: a point at radius r' is read at the real root of k r³ / R² + (1 − k) r = r', by Cardano."""

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        k = params["k_B"].view(-1, 1, 1).double()
        p = (1 - k) / k * (crop_px / 2) ** 2
        q = torch.hypot(x_px, y_px).double() / k * (crop_px / 2) ** 2
        root = 2 * (p / 3).sqrt() * torch.sinh(torch.asinh(1.5 * q / p * (3 / p).sqrt()) / 3)
        factor = (root / torch.hypot(x_px, y_px).clamp(min=1e-9)).float()
        return factor * x_px, factor * y_px


def test_the_inverse_of_a_fisheye_undoes_it() -> None:
    params = {"k_B": torch.tensor([0.01, 0.3, 0.8])}
    axis = torch.arange(64) - 31.5
    x, y = axis.view(1, 1, -1), axis.view(1, -1, 1)
    back = InverseFisheye().source_px(*Fisheye().source_px(x, y, params, 64), params, 64)
    assert torch.allclose(back[0], x.expand(3, 64, 64), atol=1e-3) and torch.allclose(
        back[1], y.expand(3, 64, 64), atol=1e-3
    )
    image_B3HW = smooth(3, 128, 128)
    once = resample(image_B3HW, [(Fisheye(0.8), params)], 64)
    twice = resample(image_B3HW, [(Fisheye(0.8), params), (InverseFisheye(0.8), params)], 64)
    plain = Frame("crop(64)")(image_B3HW)
    assert (twice - plain).abs().max() < 1e-3 and (once - plain)[1:].abs().amax((1, 2, 3)).min() > 0.02


def test_a_fisheye_enlarges_what_is_in_the_centre() -> None:
    y, x = torch.meshgrid(*[torch.arange(128) - 63.5] * 2, indexing="ij")
    disc_B3HW = (torch.hypot(x, y) < 6).float().expand(1, 3, 128, 128)
    areas = [float(Frame(f"fisheye({k}) | crop(64)")(disc_B3HW)[0, 0].sum()) for k in (0, 0.2, 0.5)]
    # r (1 - k + k (r / R)²) = 6: to first order the radius grows by 1 / (1 - k)
    assert areas[1] / areas[0] == pytest.approx(1 / 0.8**2, rel=0.05)
    assert areas[2] / areas[0] == pytest.approx(1 / 0.5**2, rel=0.2)


def test_a_frame_applies_the_fisheye_at_full_strength(image_B3HW: Tensor) -> None:
    params = {"0.fisheye.k_B": torch.full((6,), 0.4)}
    assert torch.equal(
        Frame("fisheye(0.4) | crop(64)")(image_B3HW), Augment("fisheye(0.4) | crop(64)").apply(image_B3HW, params)
    )


def test_bicubic_is_sharper_than_bilinear(image_B3HW: Tensor) -> None:
    shifted = {"0.affine.shift_B2": torch.full((6, 2), 0.5)}
    zero = {f"0.affine.{key}": torch.zeros(6) for key in ("angle_B", "log_scale_B", "log_stretch_B", "axis_B")}
    linear, cubic = (
        Augment(f"affine{word} | crop(64)").apply(image_B3HW, shifted | zero) for word in ("", " | bicubic")
    )
    assert cubic.diff(dim=3).abs().mean() > 1.15 * linear.diff(dim=3).abs().mean()


def test_a_warp_that_is_not_applied_leaves_the_patch(image_B3HW: Tensor) -> None:
    augment = Augment("affine(p=0.5) | elastic(p=0) | crop(64)")
    params = augment.sample_params(6, torch.Generator().manual_seed(3), 128)
    applied_B = params["0.affine.angle_B"] != 0
    assert 0 < applied_B.sum() < 6
    near_B = (augment.apply(image_B3HW, params) - Frame("crop(64)")(image_B3HW)).abs().flatten(1).amax(1) < 1e-4
    assert torch.equal(near_B, ~applied_B)
