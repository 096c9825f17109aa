"""Cross-entropy against the published label, as in the published benchmark."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.losses.term import Batch, Outputs, Term, losses


@losses.add("bce")
@dataclass(frozen=True)
class Bce(Term):
    """Cross-entropy against the published label.

    −y·log σ(z) − (1−y)·log(1−σ(z)), with y = 1 where the dataset's label is atypical, also where its votes tie or contradict it.
    """

    per_patch = True
    mixup = "not exact: a mixed label is rounded to the nearer class"

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        label_B = batch.target_B if batch.label_B is None else batch.label_B
        label_B = (label_B > 0.5).to(outputs.logit_B.dtype)
        return functional.binary_cross_entropy_with_logits(outputs.logit_B, label_B, reduction="none")
