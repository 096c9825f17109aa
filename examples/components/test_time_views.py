"""Test-time views: the image and its transpose.

mitotype --plugin test_time_views.py train default --data DATA --set tta=transpose
"""

from dataclasses import dataclass

from torch import Tensor

from mitotype.transforms.tta.view_set import TTAView, ViewSet, tta


def transpose(image_B3CC: Tensor) -> Tensor:
    return image_B3CC.transpose(2, 3).contiguous()


@tta.add("transpose")
@dataclass(frozen=True)
class Transpose(ViewSet):
    """The patch as it is, and mirrored at its diagonal."""

    def views(self) -> list[TTAView]:
        return [("identity", lambda image_B3CC: image_B3CC), ("transpose", transpose)]
