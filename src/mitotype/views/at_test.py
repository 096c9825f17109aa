"""The views at test time: the same patch turned and mirrored, each a row of the score table of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from mitotype.core import sentence as sentences
from mitotype.core.mistakes import Mistake
from mitotype.views.around import looks
from mitotype.views.d4 import NAMES, act

AROUND = "around"
TestView = tuple[str, Callable[[Tensor], Tensor]]
# What a sentence may name, and which elements of D4 it stands for.
AT_TEST: dict[str, tuple[int, ...]] = {
    "identity": (0,),
    "flip": (0, 4),
    "rot4": (0, 1, 2, 3),
    "d4": (0, 1, 2, 3, 4, 5, 6, 7),
}


def views_at_test(sentence: str) -> list[TestView]:
    """The views that `sentence` names, in a fixed order: pairs of name and function image_B3CC → image_B3CC.

    "identity" has one, "flip" two (as it is and mirrored left and right), "rot4" four, "d4" eight. The names (identity,
    rot90, rot180, rot270, flip, flip_rot90 …; mirrored first, then turned counter-clockwise) are the column `view` of the
    score table; each of them is a permutation of pixels. "around" has eight looks about the figure, see `views.around`.
    Raises a Mistake for any other sentence.
    """
    steps = sentences.pipeline(sentence)
    if len(steps) != 1 or steps[0].args or steps[0].options or steps[0].name not in (*AT_TEST, AROUND):
        raise Mistake(f"'{sentence[:60]}' names no views for test time.", allowed=", ".join((*AT_TEST, AROUND)))
    if steps[0].name == AROUND:
        return list(looks())
    return [(NAMES[element], partial(act, element)) for element in AT_TEST[steps[0].name]]
