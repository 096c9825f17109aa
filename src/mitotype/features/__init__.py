"""Image → named numbers without a gradient: the registry of features and their description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotype.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Descriptor", "DescriptorValues", "Feature", "features"]


@dataclass(frozen=True)
class Descriptor:
    """One number of a feature: name, unit, meaning, and the phrases of an explanation where it is high or low.

    `high` and `low` complete "the chromatin … than in 93 % of normal figures".
    """

    name: str
    unit: str
    meaning: str
    high: str
    low: str

    @property
    def trait(self) -> str:
        """The measured quantity: the name without its mask, which ends at the first underscore."""
        return self.name.partition("_")[2]


@dataclass(frozen=True)
class DescriptorValues:
    """Descriptors of B patches: `value_BD`, float32, nan where undefined."""

    names: tuple[str, ...]
    value_BD: np.ndarray


@dataclass(frozen=True)
class Feature:
    """The description of a feature and the function that computes it from `image_B3HW` (uint8, 0.25 µm/px, centred).

    Every descriptor is one trait measured on one mask: `masks` explains the masks, `traits` the traits.
    """

    title: str
    meaning: str
    needs_px: int
    mpp_um: float
    masks: Mapping[str, str]
    descriptors: tuple[Descriptor, ...]
    compute: Callable[[np.ndarray], DescriptorValues]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(descriptor.name for descriptor in self.descriptors)

    @property
    def traits(self) -> dict[str, str]:
        """Meaning and unit of every trait."""
        return {d.trait: f"{d.meaning} ({d.unit})" for d in self.descriptors}


features: Registry[Feature] = Registry("feature", "features", "mitotype.features")
