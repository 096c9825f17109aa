"""Transforms of torchvision, as its users write them for PIL images (and as the published benchmark is trained).

torchvision takes two seconds to import, so a step imports it when it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL.Image import Image

from mitotype.core.arguments import argument
from mitotype.transforms.transform import TorchvisionOp, transforms

SOURCE = "torchvision.transforms"


@transforms.add("tv_resize")
@dataclass(frozen=True)
class TvResize(TorchvisionOp):
    """torchvision's Resize: the whole patch at another size, antialiased."""

    source = SOURCE
    random = False

    px: int = argument(224, low=8, high=1024, unit="px", meaning="side of the result")
    interpolation: str = argument("bilinear", choices=("bilinear", "bicubic"), meaning="interpolation")

    @property
    def resized_px(self) -> int:
        return self.px

    def build(self) -> Callable[[Image], Image]:
        from torchvision.transforms import InterpolationMode, Resize

        return Resize(self.px, InterpolationMode(self.interpolation))


@transforms.add("tv_resized_crop")
@dataclass(frozen=True)
class TvResizedCrop(TorchvisionOp):
    """torchvision's RandomResizedCrop: a random part of the patch at another size.

    Share of the area ~ U(`least`, 1), log aspect ~ U(± log 4/3), drawn again up to ten times if the part is larger than the patch.
    """

    source = SOURCE

    px: int = argument(224, low=8, high=1024, unit="px", meaning="side of the result")
    least: float = argument(0.08, low=0.01, high=1, meaning="smallest share of the area")

    @property
    def resized_px(self) -> int:
        return self.px

    def build(self) -> Callable[[Image], Image]:
        from torchvision.transforms import RandomResizedCrop

        return RandomResizedCrop(self.px, scale=(self.least, 1.0))


@transforms.add("tv_mirror")
@dataclass(frozen=True)
class TvMirror(TorchvisionOp):
    """torchvision's RandomHorizontalFlip: flips left and right with probability 1/2."""

    source = SOURCE

    def build(self) -> Callable[[Image], Image]:
        from torchvision.transforms import RandomHorizontalFlip

        return RandomHorizontalFlip()


@transforms.add("tv_rotation")
@dataclass(frozen=True)
class TvRotation(TorchvisionOp):
    """torchvision's RandomRotation: angle ~ U(± `degrees`), nearest neighbour, black beyond the edge."""

    source = SOURCE

    degrees: float = argument(15.0, low=0, high=180, unit="°", meaning="largest rotation to either side")

    def build(self) -> Callable[[Image], Image]:
        from torchvision.transforms import RandomRotation

        return RandomRotation(self.degrees)


@transforms.add("tv_color")
@dataclass(frozen=True)
class TvColor(TorchvisionOp):
    """torchvision's ColorJitter: brightness, contrast, saturation and hue in random order, each clamped to 0 … 255, hue in HSV."""

    source = SOURCE

    brightness: float = argument(0.2, low=0, high=1, meaning="largest change of the factor")
    contrast: float = argument(0.2, low=0, high=1, meaning="largest change of the factor")
    saturation: float = argument(0.0, low=0, high=1, meaning="largest change of the factor")
    hue: float = argument(0.0, low=0, high=0.5, unit="of a circle", meaning="largest rotation of the hue")

    def build(self) -> Callable[[Image], Image]:
        from torchvision.transforms import ColorJitter

        return ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
