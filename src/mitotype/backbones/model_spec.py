"""ModelSpec: every fact about one set of weights, stated in the file of its family and never inherited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mitotype.core.errors import UserError
from mitotype.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

VERIFIED = ("no", "built", "loaded", "parity")
HUB = "hf-hub:"


class Normalization(NamedTuple):
    """Mean and standard deviation of red, green and blue in [0, 1] that the weights expect."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF_STD = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NORMALIZATION = {"imagenet": IMAGENET, "half": HALF_STD}  # names that a recipe may set in place of the spec's own


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The facts of one backbone. No field has a default: a missing fact is an error where the file is imported.

    Facts that many families share have names in `backbones.fact_groups`.

    weights                hub address "hf-hub:OWNER/NAME", or None where none are published and training starts at random
    weights_file           file name in that repository, or None for the usual ones (model.safetensors, pytorch_model.bin)
    state_dict_format      how the publisher names the tensors, see `backbones.state_dicts`
    arch, arch_kwargs      model name and keyword arguments of timm.create_model, or of a net in this package
    pretrained_size_px     input side whose position embedding the published weights hold (and to which params_m refers)
    pretrained_antialias   whether the publisher's code antialiases when it resamples that embedding (bicubic)
    size_px, multiple_px   default input side; any side must be a multiple of `multiple_px`
    resize_px              the publisher resizes to this side and crops the center to size_px; None: straight to size_px
    interpolation          of that resize: "bilinear" or "bicubic"
    patch_px               side of a transformer's patch, None for a convolutional net
    normalization          mean and standard deviation of the input
    prefix_tokens          class and register tokens before the patch tokens, 0 for a net without tokens
    pooling                named variants and their widths; default_pooling is one of them
    params_m               million parameters of the trunk
    blocks                 transformer blocks, 0 where the net has no single sequence of them
    mpp_um                 µm/px of the training images; empty for random weights and for natural images
    lora_targets           anchored pattern of the module names that LoRA adapts, None where LoRA is not supported
    lora_modules           number of modules that match it
    lora_layer             what all of them are: "Linear", or "Conv2d" (without groups); None where LoRA is not supported
    precision              precision in which the publisher and the peers embed: "fp32", "fp16" or "bf16"
    example                image and embedding that the publisher ships in the repository, or None
    license, gated         license, and whether the hub requires a request for access
    commercial             whether the license allows commercial use
    shareable_derivatives  whether it allows sharing what is trained on the weights
    verified               how far the entry was proven: "no", "built", "loaded" or "parity"
    source                 where the facts were read
    """

    weights: str | None
    weights_file: str | None
    state_dict_format: str
    arch: str
    arch_kwargs: Mapping[str, Any]
    pretrained_size_px: int
    pretrained_antialias: bool
    size_px: int
    multiple_px: int
    resize_px: int | None
    interpolation: str
    patch_px: int | None
    normalization: Normalization
    prefix_tokens: int
    pooling: Mapping[str, int]
    default_pooling: str
    params_m: float
    blocks: int
    mpp_um: tuple[float, ...]
    lora_targets: str | None
    lora_modules: int
    lora_layer: str | None
    precision: str
    example: tuple[str, str] | None
    license: str
    gated: bool
    commercial: bool
    shareable_derivatives: bool
    verified: str
    source: str

    def __post_init__(self) -> None:
        if self.default_pooling not in self.pooling:
            raise ValueError(f"{self.arch}: pooling '{self.default_pooling}' is not among {sorted(self.pooling)}")
        if self.verified not in VERIFIED:
            raise ValueError(f"{self.arch}: verified is '{self.verified}'; allowed: {', '.join(VERIFIED)}")
        if self.weights is not None and not self.weights.startswith(HUB):
            raise ValueError(f"{self.arch}: weights is '{self.weights}', not an address {HUB}OWNER/NAME")

    @property
    def repository(self) -> str | None:
        """OWNER/NAME on the hub."""
        return self.weights.removeprefix(HUB) if self.weights else None

    @property
    def access_url(self) -> str | None:
        """The page that describes the weights and, if they are gated, takes requests for access."""
        return f"https://huggingface.co/{self.repository}" if self.weights else None

    def check_size(self, size_px: int, name: str = "") -> int:
        """Return `size_px`. Raises a UserError with the nearest valid sizes if the net does not take it; `name` is the backbone's."""
        if size_px < self.multiple_px or size_px % self.multiple_px:
            below = max(size_px // self.multiple_px, 1) * self.multiple_px
            raise UserError(
                f"{name or self.arch} does not take {size_px} px.",
                nearest=f"{below} or {below + self.multiple_px}",
                allowed=f"multiples of {self.multiple_px}",
            )
        return size_px


Build = Callable[[ModelSpec, int, Mapping[str, Any]], "nn.Module"]


@dataclass(frozen=True)
class Backbone:
    """A registered backbone: its spec, and the function that builds the trunk with random weights for an input size.

    The trunk maps `x_B3SS` to `tokens_BTD`, prefix tokens first, or to `embedding_BD` where the net has no tokens.
    """

    name: str
    spec: ModelSpec
    build: Build


Source = Callable[[str], Backbone]


class BackboneRegistry(Registry[Backbone]):
    """Registry of backbones: `@backbones.add("virchow2", ModelSpec(...))` above the function that builds the trunk."""

    def __init__(self, kind: str, plural: str, package: str) -> None:
        super().__init__(kind, plural, package)
        self._sources: dict[str, Source] = {}

    def add(self, name: str, spec: ModelSpec) -> Callable[[Build], Build]:  # type: ignore[override]
        def register(build: Build) -> Build:
            Registry.add(self, name)(Backbone(name, spec, build))
            return build

        return register

    def add_source(self, prefix: str) -> Callable[[Source], Source]:
        """Return a decorator that adds a function from names that begin with `prefix` to backbones, which are not listed."""

        def register(source: Source) -> Source:
            self._sources[prefix] = source
            return source

        return register

    def get(self, name: str) -> Backbone:
        source = self._source(name)
        return source(name) if source else super().get(name)

    def __contains__(self, name: str) -> bool:
        return self._source(name) is not None or super().__contains__(name)

    def _source(self, name: str) -> Source | None:
        self._fill()
        return next((source for prefix, source in self._sources.items() if name.startswith(prefix)), None)


backbones = BackboneRegistry("backbone", "backbones", "mitotype.backbones.families")
