"""Cross-entropy against the experts' votes as a soft target."""

from torch import Tensor
from torch.nn import functional

from mitotype.losses.objective import Batch, Outputs, Term, losses


@losses.add("soft_bce")
class SoftBce(Term):
    """−t·log σ(z) − (1−t)·log(1−σ(z)), with t drawn towards ½ by `smooth`: t ← t·(1−smooth) + smooth/2."""

    per_patch = True
    mixup = "exact: the loss is linear in the target, and targets are mixed as pictures are"
    says = "cross-entropy against the share of experts who say atypical"

    def __init__(self, smooth: float = 0.0) -> None:
        self.smooth = smooth

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        target_B = batch.target_B * (1 - self.smooth) + self.smooth / 2
        return functional.binary_cross_entropy_with_logits(outputs.logit_B, target_B, reduction="none")
