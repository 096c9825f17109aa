"""Views that are permutations of pixels: the square's eight symmetries and subsets of them.

Their names are identity, rot90, rot180, rot270, flip, flip_rot90 …: mirrored first, then rotated counter-clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from mitotype.transforms.geometry import D4_NAMES, apply_d4
from mitotype.transforms.tta.view_set import TTAView, ViewSet, tta


@tta.add("identity")
@dataclass(frozen=True)
class Identity(ViewSet):
    """The patch as it is."""

    elements: ClassVar[tuple[int, ...]] = (0,)  # of the group D4

    def views(self) -> list[TTAView]:
        return [(D4_NAMES[element], partial(apply_d4, element)) for element in self.elements]


@tta.add("flip")
@dataclass(frozen=True)
class Flip(Identity):
    """The patch as it is, and mirrored left and right."""

    elements = (0, 4)


@tta.add("rot4")
@dataclass(frozen=True)
class Rotations(Identity):
    """The patch under the four rotations by 90°."""

    elements = (0, 1, 2, 3)


@tta.add("d4")
@dataclass(frozen=True)
class D4(Identity):
    """The patch under the eight symmetries of the square."""

    elements = (0, 1, 2, 3, 4, 5, 6, 7)
