"""Stain normalisation to a fixed target: Reinhard and Macenko. Deterministic steps of a frame, image by image.

Shapes: B images, H × W px, P = H · W pixels, K values per pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mitotype.transforms.transform import FrameOp, transforms

# Red, green, blue to the cones' responses, and their logarithms to lαβ (Reinhard et al. 2001).
LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
LAB = ((3**-0.5,) * 3, (6**-0.5, 6**-0.5, -2 * 6**-0.5), (2**-0.5, -(2**-0.5), 0.0))
# Mean and standard deviation of l, α, β: the means over the 2,894 training patches of AMi-Br.
TARGET_MEAN = (-0.484, -0.064, 0.025)
TARGET_STD = (0.284, 0.051, 0.010)

# Macenko's target: optical density of haematoxylin and eosin in red, green, blue, and their 99th percentiles, as in the
# reference implementation (M. Veta); light 240, densities above 0.15 count as tissue.
TARGET_STAINS = ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581))
TARGET_HIGH = (1.9705, 1.0308)
LIGHT = 240.0
TISSUE_OD = 0.15
MIN_TISSUE = 0.02  # share of the image
PADDING = 2 / 255  # pixels that are no lighter in any channel are padding beyond a slide's edge and stay unchanged


@transforms.add("reinhard")
@dataclass(frozen=True)
class Reinhard(FrameOp):
    """Matches mean and standard deviation of each image to a fixed target in the colour space lαβ.

    Per channel of lαβ: v' = (v - mean) · target std / std + target mean. An image of one colour is only shifted.
    """

    source = "Reinhard et al. 2001, 10.1109/38.946629; target: mean of AMi-Br's training patches"

    def apply(self, image_B3HW: Tensor) -> Tensor:
        device = image_B3HW.device
        target_mean, target_std = (torch.tensor(t, device=device).view(1, 3, 1) for t in (TARGET_MEAN, TARGET_STD))
        value_B3P, valid_B1P = to_lab(image_B3HW), not_padding(image_B3HW)
        count = valid_B1P.sum(2, keepdim=True).clamp(min=1)
        mean = (value_B3P * valid_B1P).sum(2, keepdim=True) / count
        std = (((value_B3P - mean) * valid_B1P) ** 2).sum(2, keepdim=True).div(count).sqrt()
        scale = torch.where(std > 1e-3, target_std / std.clamp(min=1e-3), 1.0)
        value_B3P = (value_B3P - mean) * scale + target_mean
        lms, lab = torch.tensor(LMS, device=device), torch.tensor(LAB, device=device)
        light = torch.linalg.inv(lms) @ (lab.T @ value_B3P).mul_(math.log(10)).exp_()
        normalized = light.sub_(1 / 255).clamp_(0, 1).view_as(image_B3HW)
        return torch.where(valid_B1P.view(-1, 1, *image_B3HW.shape[2:]), normalized, image_B3HW)


def not_padding(image_B3HW: Tensor) -> Tensor:
    """Return which pixels (B × 1 × P) are not black padding."""
    return (image_B3HW.amax(1, keepdim=True) > PADDING).flatten(2)


def to_lab(image_B3HW: Tensor) -> Tensor:
    """Return l, α, β of every pixel, B × 3 × P; black counts as 1 of 255."""
    lms, lab = torch.tensor(LMS, device=image_B3HW.device), torch.tensor(LAB, device=image_B3HW.device)
    return lab @ (lms @ image_B3HW.reshape(len(image_B3HW), 3, -1).add(1 / 255)).log10_()


@transforms.add("macenko")
@dataclass(frozen=True)
class Macenko(FrameOp):
    """Estimates haematoxylin and eosin of each image and replaces them by those of a fixed target.

    In optical density the first two principal axes of the tissue span a plane; the 1st and 99th percentile of the angle in
    it are the stains; their amounts are scaled to the target's 99th percentiles. An image with less than 2 % of tissue, or
    with a single stain, stays unchanged.
    """

    source = "Macenko et al. 2009, 10.1109/ISBI.2009.5193250; target of the reference implementation"

    def apply(self, image_B3HW: Tensor) -> Tensor:
        od_B3P = image_B3HW.reshape(len(image_B3HW), 3, -1).mul(255).add_(1).div_(LIGHT).log_().neg_()
        valid_B1P = not_padding(image_B3HW)
        tissue_BP = (od_B3P >= TISSUE_OD).all(1) & valid_B1P.squeeze(1)
        stains_B32 = _stains(od_B3P, tissue_BP)
        gram_B22 = stains_B32.mT @ stains_B32
        has_stains_B = (tissue_BP.float().mean(1) >= MIN_TISSUE) & (torch.linalg.det(gram_B22) > 1e-3)
        gram_B22 = torch.where(has_stains_B.view(-1, 1, 1), gram_B22, torch.eye(2, device=gram_B22.device))
        amount_B2P = torch.linalg.inv(gram_B22) @ stains_B32.mT @ od_B3P
        high_B2 = _percentiles(amount_B2P, valid_B1P, (0.99,)).squeeze(2).clamp(min=1e-3)
        target_32 = torch.tensor(TARGET_STAINS, device=od_B3P.device).T
        scale_B2 = torch.tensor(TARGET_HIGH, device=od_B3P.device) / high_B2
        light = (target_32 @ (amount_B2P * scale_B2[..., None])).neg_().exp_().mul_(LIGHT).sub_(1).div_(255)
        normalized = light.clamp_(0, 1).view_as(image_B3HW)
        changed_B1HW = valid_B1P.view(-1, 1, *image_B3HW.shape[2:]) & has_stains_B.view(-1, 1, 1, 1)
        return torch.where(changed_B1HW, normalized, image_B3HW)


def _stains(od_B3P: Tensor, tissue_BP: Tensor) -> Tensor:
    """Return unit vectors of haematoxylin and eosin (in this order) as columns."""
    weight_B1P = tissue_BP.unsqueeze(1).float()
    count = weight_B1P.sum(2, keepdim=True).clamp(min=2)
    centred_B3P = (od_B3P - (od_B3P * weight_B1P).sum(2, keepdim=True) / count) * weight_B1P
    plane_B32 = torch.linalg.eigh(centred_B3P @ centred_B3P.mT / (count - 1)).eigenvectors[:, :, [2, 1]]
    plane_B32 = plane_B32 * torch.where(plane_B32.sum(1, keepdim=True) < 0, -1.0, 1.0)
    in_plane_B2P = plane_B32.mT @ od_B3P
    angle_B1P = torch.atan2(in_plane_B2P[:, 1:], in_plane_B2P[:, :1])
    ends_B12 = _percentiles(angle_B1P, tissue_BP.unsqueeze(1), (0.01, 0.99))
    stains_B32 = plane_B32 @ torch.cat([ends_B12.cos(), ends_B12.sin()], 1)
    eosin_first = stains_B32[:, :1, :1] < stains_B32[:, :1, 1:]  # haematoxylin absorbs more red
    return torch.where(eosin_first, stains_B32.flip(2), stains_B32)


def _percentiles(value_BKP: Tensor, valid_BKP: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Return B × K × levels: quantiles of the valid values, linear between neighbours; 0 where none is valid."""
    sorted_BKP = torch.where(valid_BKP, value_BKP, torch.inf).sort(-1).values
    last = valid_BKP.sum(-1, keepdim=True).expand(*value_BKP.shape[:2], 1) - 1
    position = last.clamp(min=0) * torch.tensor(levels, device=value_BKP.device)
    low = position.floor().long()
    high = torch.minimum(low + 1, last.clamp(min=0))
    value = torch.lerp(sorted_BKP.gather(-1, low), sorted_BKP.gather(-1, high), position - low)
    return torch.where(last >= 0, value, 0.0)
