"""What is done to pictures, batched: frame (deterministic), augment (random), views at test time. One file per transformation.

Sentences name the steps: `Frame("macenko | crop(64)")`, `Augment("affine(shift=2) | d4 | stain(0.1) | crop(64)")`,
`views_at_test("d4")`. Importing the room loads no torch; these three names load it when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mitotype.core.shelf import Shelf
from mitotype.views.view import View, card

if TYPE_CHECKING:
    from mitotype.views.at_test import views_at_test
    from mitotype.views.augment import Augment, rows_of
    from mitotype.views.frame import Frame

__all__ = ["Augment", "Frame", "View", "card", "rows_of", "views", "views_at_test"]

views: Shelf[type[View]] = Shelf("view", "views", "mitotype.views")

LATE = {"Augment": "augment", "rows_of": "augment", "Frame": "frame", "views_at_test": "at_test"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{LATE[name]}"), name)
