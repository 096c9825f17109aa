"""Distillation: the scores of a teacher, such as an ensemble, as the target (arXiv 1503.02531)."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses.term import Batch, Outputs, Term, losses


@losses.add("distil")
@dataclass(frozen=True)
class Distil(Term):
    """Cross-entropy against the probability of a teacher run on the training patches.

    BCE(z/T, σ(z_teacher/T))·T². A missing score adds no loss.
    """

    per_patch = True
    mixup = "approximate: the teacher's logits are mixed like targets"
    reads_teacher = True

    temperature: float = argument(1.0, low=0.01, high=100, meaning="T, by which both logits are divided")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        teacher_B = batch.aux["teacher"].squeeze(1)
        target_B = (teacher_B.nan_to_num(0.0) / self.temperature).sigmoid()
        loss_B = functional.binary_cross_entropy_with_logits(
            outputs.logit_B / self.temperature, target_B, reduction="none"
        )
        return (loss_B * self.temperature**2).where(~teacher_B.isnan(), loss_B.new_zeros(()))
