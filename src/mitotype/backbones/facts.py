"""Facts: everything that is known of one set of weights, stated where it is defined and nowhere inherited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mitotype.core.mistakes import Mistake
from mitotype.core.shelf import Shelf

if TYPE_CHECKING:
    from torch import nn


class Colours(NamedTuple):
    """Mean and standard deviation of red, green, blue in [0, 1] that the weights expect."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of one backbone. No field has a default: a missing fact is an error where the file is imported.

    weights                address on the hub, or None where none are published and training starts at random ones
    offline_arch           timm's name of the architecture, or a name of our own file
    arch_options           everything else the architecture needs to be built without a network
    size_px, multiple_px   default input size; any size must be a multiple of `multiple_px`
    patch_px               side of a transformer's patch, None for a convolutional net
    mean, std              colour statistics of the input in [0, 1]
    prefix_tokens          class and register tokens before the patch tokens, 0 for a convolutional net
    pooling                named variants and their widths; default_pooling is one of them
    params_m               million parameters of the trunk
    mpp_um                 µm/px the weights were trained at, empty where they start at random
    lora_targets           anchored pattern of the adapted modules, None where LoRA is not offered
    verified               how far the entry was proven: "built", "loaded" or "parity"
    """

    weights: str | None
    offline_arch: str
    arch_options: Mapping[str, Any]
    size_px: int
    multiple_px: int
    patch_px: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    prefix_tokens: int
    pooling: Mapping[str, int]
    default_pooling: str
    params_m: float
    mpp_um: tuple[float, ...]
    lora_targets: str | None
    licence: str
    gated: bool
    commercial: bool
    shareable_derivatives: bool
    verified: str
    source: str

    def __post_init__(self) -> None:
        if self.default_pooling not in self.pooling:
            raise ValueError(
                f"{self.offline_arch}: pooling '{self.default_pooling}' is not among {sorted(self.pooling)}"
            )
        if self.verified not in ("built", "loaded", "parity"):
            raise ValueError(f"{self.offline_arch}: verified is '{self.verified}'")

    def check_size(self, size_px: int) -> int:
        """`size_px` if the net takes it, else a Mistake with the nearest sizes that it takes."""
        if size_px < self.multiple_px or size_px % self.multiple_px:
            below = max(size_px // self.multiple_px, 1) * self.multiple_px
            raise Mistake(
                f"{self.offline_arch} does not take {size_px} px.",
                nearest=f"{below} or {below + self.multiple_px}",
                allowed=f"multiples of {self.multiple_px}",
            )
        return size_px


@dataclass(frozen=True)
class Backbone:
    """A shelf entry: the facts, and the function that builds the trunk at random weights for an input size.

    The trunk maps `x_B3SS` to `(embedding_BD, tokens)`; `tokens` is None for a convolutional net.
    """

    name: str
    facts: Facts
    build: Callable[[Facts, int, Mapping[str, Any]], nn.Module]


class BackboneShelf(Shelf[Backbone]):
    """The shelf of backbones: `@backbones.add("virchow2", Facts(...))` above the function that builds the trunk."""

    def add(  # type: ignore[override]
        self, name: str, facts: Facts
    ) -> Callable[
        [Callable[[Facts, int, Mapping[str, Any]], nn.Module]], Callable[[Facts, int, Mapping[str, Any]], nn.Module]
    ]:
        def put(
            build: Callable[[Facts, int, Mapping[str, Any]], nn.Module],
        ) -> Callable[[Facts, int, Mapping[str, Any]], nn.Module]:
            Shelf.add(self, name)(Backbone(name, facts, build))
            return build

        return put


backbones = BackboneShelf("backbone", "backbones", "mitotype.backbones")
