"""Test-time augmentation: the views of a patch, each a row of its own in the score table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from mitotype.core import spec
from mitotype.core.errors import UserError
from mitotype.transforms.geometry import D4_NAMES, apply_d4
from mitotype.transforms.tta_jitter import jitter_views

JITTER = "around"  # its spec in recipes
TTAView = tuple[str, Callable[[Tensor], Tensor]]
# Specs of permutation views, and the elements of D4 that they stand for.
D4_SUBSETS: dict[str, tuple[int, ...]] = {
    "identity": (0,),
    "flip": (0, 4),
    "rot4": (0, 1, 2, 3),
    "d4": (0, 1, 2, 3, 4, 5, 6, 7),
}


def tta_views(text: str) -> list[TTAView]:
    """Return the views of a spec in a fixed order: pairs of name and function image_B3CC → image_B3CC.

    "identity" has one, "flip" two (as it is and mirrored left and right), "rot4" four, "d4" eight. The names (identity,
    rot90, rot180, rot270, flip, flip_rot90 …; mirrored first, then rotated counter-clockwise) are the column `view` of the
    score table; each of them is a permutation of pixels. "around" has eight jittered views, see `tta_jitter`.
    Raises a UserError for any other spec.
    """
    steps = spec.pipeline(text)
    if len(steps) != 1 or steps[0].args or steps[0].options or steps[0].name not in (*D4_SUBSETS, JITTER):
        raise UserError(f"'{text[:60]}' names no test-time views.", allowed=", ".join((*D4_SUBSETS, JITTER)))
    if steps[0].name == JITTER:
        return list(jitter_views())
    return [(D4_NAMES[element], partial(apply_d4, element)) for element in D4_SUBSETS[steps[0].name]]
