"""Facts: everything that is known of one set of weights, stated where it is defined and nowhere inherited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mitotype.core.mistakes import Mistake
from mitotype.core.shelf import Shelf

if TYPE_CHECKING:
    from torch import nn

VERIFIED = ("built", "loaded", "parity")
HUB = "hf-hub:"


class Colours(NamedTuple):
    """Mean and standard deviation of red, green, blue in [0, 1] that the weights expect."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
COLOURS = {"imagenet": IMAGENET, "half": HALF}  # what a recipe may name against the facts, to repeat another's training


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of one backbone. No field has a default: a missing fact is an error where the file is imported.

    weights                hub address "hf-hub:OWNER/NAME", or None where none are published and training starts at random ones
    weights_file           the file in that repository, or None for the usual names (model.safetensors, pytorch_model.bin)
    keys                   how the publisher names the tensors: see `backbones.keys`
    offline_arch           timm's name of the architecture, or a name of our own file
    arch_options           everything else the architecture needs to be built without a network
    grid_px                input side whose position embedding the published weights hold (and for which params_m holds)
    grid_antialias         whether the publisher's code smooths that embedding when it is resampled to another size (bicubic)
    size_px, multiple_px   default input size; any size must be a multiple of `multiple_px`
    resize_px              the publisher's transform resizes to this side and cuts the centre of size_px; None: straight to size_px
    interpolation          of that resize: "bilinear" or "bicubic"
    patch_px               side of a transformer's patch, None for a convolutional net
    mean, std              colour statistics of the input in [0, 1]
    prefix_tokens          class and register tokens before the patch tokens, 0 for a net without tokens
    pooling                named variants and their widths; default_pooling is one of them
    params_m               million parameters of the trunk
    blocks                 transformer blocks, 0 where the net has none in one row
    mpp_um                 µm/px the weights were trained at, empty where they start at random or were made of other pictures
    lora_targets           anchored pattern of the adapted modules, None where LoRA is not offered
    lora_modules           how many Linear modules that pattern matches
    precision              in which the publisher and the peers embed: "fp32", "fp16" or "bf16"
    example                picture and embedding that the publisher ships in the repository, None where there are none
    verified               how far the entry was proven: "built", "loaded" or "parity"
    """

    weights: str | None
    weights_file: str | None
    keys: str
    offline_arch: str
    arch_options: Mapping[str, Any]
    grid_px: int
    grid_antialias: bool
    size_px: int
    multiple_px: int
    resize_px: int | None
    interpolation: str
    patch_px: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    prefix_tokens: int
    pooling: Mapping[str, int]
    default_pooling: str
    params_m: float
    blocks: int
    mpp_um: tuple[float, ...]
    lora_targets: str | None
    lora_modules: int
    precision: str
    example: tuple[str, str] | None
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
        if self.verified not in VERIFIED:
            raise ValueError(f"{self.offline_arch}: verified is '{self.verified}'")
        if self.weights is not None and not self.weights.startswith(HUB):
            raise ValueError(f"{self.offline_arch}: weights are at '{self.weights}', not at an address {HUB}OWNER/NAME")

    @property
    def repository(self) -> str | None:
        """OWNER/NAME on the hub."""
        return self.weights.removeprefix(HUB) if self.weights else None

    @property
    def access_url(self) -> str | None:
        """The page where the weights are described, and where access is asked for if they are gated."""
        return f"https://huggingface.co/{self.repository}" if self.weights else None

    def check_size(self, size_px: int, name: str = "") -> int:
        """`size_px` if the net takes it, else a Mistake with the nearest sizes that it takes. `name` is the backbone's."""
        if size_px < self.multiple_px or size_px % self.multiple_px:
            below = max(size_px // self.multiple_px, 1) * self.multiple_px
            raise Mistake(
                f"{name or self.offline_arch} does not take {size_px} px.",
                nearest=f"{below} or {below + self.multiple_px}",
                allowed=f"multiples of {self.multiple_px}",
            )
        return size_px


Build = Callable[[Facts, int, Mapping[str, Any]], "nn.Module"]


@dataclass(frozen=True)
class Backbone:
    """A shelf entry: the facts, and the function that builds the trunk at random weights for an input size.

    The trunk maps `x_B3SS` to `tokens_BTD`, prefix tokens first, or to `embedding_BD` where the net has no tokens.
    """

    name: str
    facts: Facts
    build: Build


class BackboneShelf(Shelf[Backbone]):
    """The shelf of backbones: `@backbones.add("virchow2", Facts(...))` above the function that builds the trunk."""

    def add(self, name: str, facts: Facts) -> Callable[[Build], Build]:  # type: ignore[override]
        def put(build: Build) -> Build:
            Shelf.add(self, name)(Backbone(name, facts, build))
            return build

        return put


backbones = BackboneShelf("backbone", "backbones", "mitotype.backbones")
