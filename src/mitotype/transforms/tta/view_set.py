"""ViewSet: the base class of a set of test-time views, and the registry."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mitotype.core.registry import Registry

TTAView = tuple[str, Callable[[Tensor], Tensor]]


class ViewSet:
    """A set of views: a frozen dataclass whose fields, made by `core.arguments.argument`, are its arguments."""

    def views(self) -> list[TTAView]:
        """Return the views in a fixed order: pairs of name and function image_B3CC → image_B3CC.

        The names are the column `view` of the score table. "identity" is the name of the image as it is.
        """
        raise NotImplementedError


tta: Registry[type[ViewSet]] = Registry("set of test-time views", "tta", "mitotype.transforms.tta")


def tta_views(text: str) -> list[TTAView]:
    """Return the views of a spec such as "d4". Raises a UserError for an unknown one."""
    return tta.build(text).views()
