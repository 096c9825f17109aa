"""Base classes of the transforms: torchvision's, steps of a frame, warps, pixel steps and the crop, and their registry.

Shapes: B patches; H, W height and width of the input image, px; C side of the crop, px; 3 red, green, blue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from mitotype.core.registry import Registry

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

Params: TypeAlias = "dict[str, Tensor]"  # random parameters of one step or of a whole spec; dimension 0 is the patch


class Transform:
    """A transform is a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments.

    The first line of its docstring is its summary in listings. `source` cites the paper that it follows.
    """

    kind: ClassVar[str]
    source: ClassVar[str] = ""


class TorchvisionOp(Transform):
    """One of torchvision's transforms of a PIL image, on the whole patch and before every other step; see `torchvision_steps`."""

    kind = "torchvision"
    random: ClassVar[bool] = True

    @property
    def resized_px(self) -> int | None:
        """The shorter side of the result; None where the size stays."""
        return None

    def build(self) -> Callable[[Image], Image]:
        """Return torchvision's transform."""
        raise NotImplementedError


class FrameOp(Transform):
    """A deterministic step on the whole image, before the crop."""

    kind = "frame"

    def apply(self, image_B3HW: Tensor) -> Tensor:
        """Return a new image of the same shape; float32 in [0, 1] in and out."""
        raise NotImplementedError


class WarpOp(Transform):
    """A random displacement of points. All warps of a spec become one resampling onto the crop.

    Points are (x right, y down) in px from the centre of the crop. Every random parameter is neutral at 0, so that a step
    with a probability is switched off by a multiplication.
    """

    kind = "warp"
    bicubic: ClassVar[bool] = False  # True: the resampling that it is part of is bicubic
    exact: ClassVar[bool] = False  # maps pixels onto pixels: implements `permute`, needs no resampling
    n_elements: ClassVar[int] = 0  # number of outcomes where it is finite: its one parameter is then their index

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        """Return the random parameters of `batch_size` patches, on the CPU."""
        return {}

    def fixed_params(self, batch_size: int) -> Params | None:
        """Return the parameters that the warp has in a frame; None where it is not allowed in one."""
        return None

    def source_px(self, x_px: Tensor, y_px: Tensor, params: Params, crop_px: int) -> tuple[Tensor, Tensor]:
        """Return the source of the point (x, y). Both have a shape that broadcasts to B, C, C."""
        return x_px, y_px

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        """Return a bound on the distance from the centre of the sources of points within `radius_px`."""
        return radius_px

    def permute(self, image_B3CC: Tensor, params: Params) -> Tensor:
        """Return the warped square image as a permutation of its pixels. Only where `exact`."""
        raise NotImplementedError


class PixelOp(Transform):
    """A random change of values on the crop, reflected at its edges where a step needs neighbours."""

    kind = "pixel"
    needs_targets: ClassVar[bool] = False  # params["target_B3CC"] is another image for each patch

    def check_crop(self, crop_px: int) -> None:
        """Raise a UserError where the step would not do on a crop of that side what its name promises."""

    def sample_params(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Params:
        """Return the random parameters of `batch_size` patches, on the CPU."""
        raise NotImplementedError

    def apply(self, image_B3CC: Tensor, params: Params) -> Tensor:
        """Return the changed image; float32, contiguous, in [0, 1] in and out. May write into `image_B3CC`."""
        raise NotImplementedError


class CropOp(Transform):
    """The last step: the centred square of `px`."""

    kind = "crop"
    px: int


def to_device(params: Params, device: torch.device) -> Params:
    """Return the parameters on a device."""
    return {key: value.to(device, non_blocking=True) for key, value in params.items()}


transforms: Registry[type[Transform]] = Registry("transform", "transforms", "mitotype.transforms.ops")
