"""Pictures → named numbers without a gradient: the shelf of features, and what a feature has to say of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitotype.core.shelf import Shelf

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Described", "Descriptor", "Feature", "features"]


@dataclass(frozen=True)
class Descriptor:
    """One number of a feature: its name, its unit, what it means, and how a sentence says that it is high or low.

    `high` and `low` complete "the chromatin … than in 93 % of normal figures".
    """

    name: str
    unit: str
    meaning: str
    high: str
    low: str

    @property
    def mask(self) -> str:
        """The part of the name before the first underscore: the mask that the number was measured on."""
        return self.name.partition("_")[0]

    @property
    def trait(self) -> str:
        """The name without its mask: what was measured."""
        return self.name.partition("_")[2]


@dataclass(frozen=True)
class Described:
    """The numbers of B patches: `value_BD` (float32, nan where undefined) and one reason per patch ("" where all is defined)."""

    names: tuple[str, ...]
    value_BD: np.ndarray
    reason_B: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """The numbers as a table, one column per descriptor."""
        import pandas as pd

        return pd.DataFrame(self.value_BD, columns=list(self.names))


@dataclass(frozen=True)
class Feature:
    """The facts of one feature and the function that computes it from `image_B3HW` (uint8, 0.25 µm/px, centred).

    Every descriptor is one trait measured on one mask: `masks` says what each mask is made of, `traits` what each trait is.
    """

    title: str
    meaning: str
    needs_px: int
    mpp_um: float
    masks: Mapping[str, str]
    descriptors: tuple[Descriptor, ...]
    describe: Callable[[np.ndarray], Described]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(descriptor.name for descriptor in self.descriptors)

    @property
    def traits(self) -> dict[str, str]:
        """Every trait once: its meaning and its unit."""
        return {one.trait: f"{one.meaning} ({one.unit})" for one in self.descriptors}


features: Shelf[Feature] = Shelf("feature", "features", "mitotype.features")
