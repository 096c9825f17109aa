"""Distillation: learn the scores of a teacher, an ensemble for instance (arXiv 1503.02531)."""

from torch import Tensor
from torch.nn import functional

from mitotype.losses.objective import Batch, Outputs, Term, losses


@losses.add("distil")
class Distil(Term):
    """Cross-entropy against the teacher's tempered probability: BCE(z/T, σ(z_teacher/T))·T². A missing score costs nothing."""

    per_patch = True
    mixup = "approximate: the teacher's logits are mixed as targets are"
    reads_teacher = True
    says = "the logits of a teacher run on the training patches"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        teacher_B = batch.extra["teacher"].squeeze(1)
        target_B = (teacher_B.nan_to_num(0.0) / self.temperature).sigmoid()
        loss_B = functional.binary_cross_entropy_with_logits(
            outputs.logit_B / self.temperature, target_B, reduction="none"
        )
        return (loss_B * self.temperature**2).where(~teacher_B.isnan(), loss_B.new_zeros(()))
