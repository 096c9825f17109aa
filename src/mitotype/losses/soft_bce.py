"""Cross-entropy against the experts' votes as a soft target."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses.term import Batch, Outputs, Term, losses


@losses.add("soft_bce")
@dataclass(frozen=True)
class SoftBce(Term):
    """Cross-entropy against the share of experts who voted atypical.

    −t·log σ(z) − (1−t)·log(1−σ(z)), with label smoothing t ← t·(1−smooth) + smooth/2.
    """

    per_patch = True
    mixup = "exact: the loss is linear in the target, and targets are mixed like images"

    smooth: float = argument(0.0, low=0, high=1, meaning="label smoothing towards ½")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_B = batch.target_B * (1 - self.smooth) + self.smooth / 2
        return functional.binary_cross_entropy_with_logits(outputs.logit_B, target_B, reduction="none")
