"""A loss with a target and a head of its own: the mean color of the image.

mitotype --plugin loss_with_target.py train default --data DATA --set "objective=soft_bce + 0.1 * mean_color"
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mitotype.core.arguments import argument
from mitotype.losses import Batch, Outputs, TargetSource, Term, losses
from mitotype.losses.term import mean_over_known


@losses.add("mean_color")
@dataclass(frozen=True)
class MeanColor(Term):
    """Mean red, green and blue of the image as an auxiliary task: mean |prediction − target|."""

    per_patch = True
    mixup = "exact: the mean color of a mixed image is the mixed mean color"
    head = "mean_color"

    n_outputs: int = argument(3, low=3, high=3, meaning="red, green, blue")

    def targets(self, source: TargetSource) -> np.ndarray:
        return source.image_N3HW.mean(axis=(2, 3), dtype=np.float32) / 255

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_BK = batch.aux["mean_color"]
        return mean_over_known((outputs.aux["mean_color"] - target_BK).abs(), target_BK)
