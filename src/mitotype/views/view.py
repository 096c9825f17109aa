"""View: what every transformation says of itself, and the three kinds there are (framing, warp, pixel).

Shapes: B patches; H, W height and width of the picture that comes in, px; C side of the crop, px; 3 red, green, blue.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Drawn: TypeAlias = "dict[str, Tensor]"  # the random parameters of one step or one sentence; dimension 0 is the patch


@dataclass(frozen=True)
class Argument:
    """One number that a sentence may give to a step: `low` to `high`, both allowed, in `unit` ("" has none)."""

    name: str
    default: float
    low: float
    high: float
    unit: str
    meaning: str

    @property
    def whole(self) -> bool:
        return isinstance(self.default, int)


def argument(default: float, low: float, high: float, unit: str, meaning: str) -> Any:
    """A field of a view. An int as default means that only whole numbers are taken."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "meaning": meaning})


class View:
    """One transformation. Its fields (made by `argument`) are its arguments, the first line of its docstring describes it.

    `identity` gives the arguments at which it changes nothing; None where there are no such arguments.
    """

    kind: ClassVar[str]
    identity: ClassVar[Mapping[str, float] | None] = None
    source: ClassVar[str] = ""

    def __init__(self, *args: float, **options: float) -> None:
        if args or options:
            raise TypeError(f"{type(self).__name__} takes no arguments")

    @classmethod
    def says(cls) -> str:
        """One sentence: what the view does."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]

    @classmethod
    def arguments(cls) -> tuple[Argument, ...]:
        """Its arguments in the order in which a sentence may give them without names."""
        if not hasattr(cls, "__dataclass_fields__"):
            return ()
        return tuple(Argument(name=f.name, default=f.default, **f.metadata) for f in fields(cls))  # type: ignore[arg-type]


class Framing(View):
    """A deterministic step on the whole picture, before the crop."""

    kind = "frame"

    def apply(self, image_B3HW: Tensor) -> Tensor:
        """A new picture of the same shape; float32 in [0, 1] in and out."""
        raise NotImplementedError


class Warp(View):
    """A random movement of points. All warps of a sentence become one resampling onto the crop.

    Points are (x right, y down) in px from the centre of the crop. Every drawn parameter is neutral at 0, so that a step
    given with a probability is switched off by a multiplication.
    """

    kind = "warp"
    exact: ClassVar[bool] = False  # moves pixels onto pixels: has `permuted`, needs no resampling
    elements: ClassVar[int] = 0  # how many there are, where they are finitely many: its one parameter is their number

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        """The random parameters of `batch_size` patches, on the CPU."""
        return {}

    def settled(self, batch_size: int) -> Drawn | None:
        """The parameters at which the warp stands in a frame; None where it has no place in one."""
        return None

    def source_px(self, x_px: Tensor, y_px: Tensor, drawn: Drawn, crop_px: int) -> tuple[Tensor, Tensor]:
        """The point that is read for the point (x, y). Both have a shape that broadcasts to B, C, C."""
        return x_px, y_px

    def reach_px(self, radius_px: float, crop_px: int) -> float:
        """A bound on the distance from the centre of what is read for points within `radius_px`."""
        return radius_px

    def permuted(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        """The warp of a square picture as a permutation of its pixels. Only where `exact`."""
        raise NotImplementedError


class Pixel(View):
    """A random change of values on the crop. Past the crop's edge, where a step looks there, lies its reflection."""

    kind = "pixel"
    needs_targets: ClassVar[bool] = False  # drawn["target_B3CC"] holds another picture for each patch

    def draw(self, batch_size: int, generator: torch.Generator, crop_px: int) -> Drawn:
        """The random parameters of `batch_size` patches, on the CPU."""
        raise NotImplementedError

    def apply(self, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        """The changed picture; float32, contiguous, in [0, 1] in and out. May write into `image_B3CC`."""
        raise NotImplementedError


def card(name: str, view: type[View]) -> dict[str, Any]:
    """What a listing or a page shows of a view, as plain data."""
    return {
        "name": name,
        "kind": view.kind,
        "says": view.says(),
        "arguments": [
            {"name": a.name, "default": a.default, "low": a.low, "high": a.high, "unit": a.unit, "meaning": a.meaning}
            for a in view.arguments()
        ],
        "identity": dict(view.identity) if view.identity is not None else None,
        "source": view.source,
    }
