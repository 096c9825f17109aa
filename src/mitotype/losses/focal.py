"""Focal losses on soft targets: with a fixed exponent, and with one that adapts to class, to difficulty or to both."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses.term import Batch, Outputs, Term, losses


def focal_terms(logit_B: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the error |t − σ(z)| and the cross-entropy of each patch."""
    error_B = (target_B - logit_B.sigmoid()).abs()
    return error_B, functional.binary_cross_entropy_with_logits(logit_B, target_B, reduction="none")


@losses.add("focal")
@dataclass(frozen=True)
class Focal(Term):
    """Cross-entropy that gives less weight to patches that are already right.

    |t − σ(z)|^γ · CE(z, t): the quality focal loss (Li et al., arXiv 2006.04388), which for hard targets is the focal loss
    (Lin et al., arXiv 1708.02002) without its α. γ = 0 is `soft_bce`. At a target of ⅓ it is 0 only in the limit γ > 0 at
    σ(z) = ⅓, where cross-entropy has its minimum too; the factor is part of the gradient.
    """

    per_patch = True
    mixup = "approximate: the weight is that of the mixed target, whose error is small in the middle"

    gamma: float = argument(2.0, low=0, high=10, meaning="γ; 0 is soft_bce")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        error_B, loss_B = focal_terms(outputs.logit_B, batch.target_B)
        return error_B.clamp(min=1e-6) ** self.gamma * loss_B if self.gamma else loss_B


@losses.add("adaptive_focal")
@dataclass(frozen=True)
class AdaptiveFocal(Term):
    """A focal loss whose weight adapts to the class, to the difficulty of a patch, or to both.

    α · e^(γ·d) · CE(z, t), with the error e = |t − σ(z)|:

    class        α = ½ t/s + ½ (1 − t)/(1 − s), with s the mean target of the batch: both classes have the same weight
    difficulty   d = 2 − e, constant in the gradient: the exponent falls from 2γ for patches that are right to γ for those that
                 are wrong, so that easy patches lose weight faster; without it d = 1

    What adapts in the loss of that name in arXiv 2509.02601 was not found by us; this reading is ours. γ = 0 is cross-entropy,
    for "difficulty" exactly `soft_bce`. A vote of ⅓ counts for a third as atypical in α.
    """

    per_patch = True
    mixup = "approximate: weights are those of the mixed target"

    gamma: float = argument(2.0, low=0, high=10, meaning="γ; 0 leaves the class weights only")
    adapts: str = argument("both", choices=("class", "difficulty", "both"), meaning="what the weight adapts to")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        error_B, loss_B = focal_terms(outputs.logit_B, batch.target_B)
        if self.adapts != "difficulty":
            share = batch.target_B.mean().clamp(0.02, 0.98)  # a batch of one class
            loss_B = loss_B * (0.5 * batch.target_B / share + 0.5 * (1 - batch.target_B) / (1 - share))
        if not self.gamma:
            return loss_B
        exponent_B = self.gamma * (2 - error_B.detach() if self.adapts != "class" else 1.0)
        return error_B.clamp(min=1e-6) ** exponent_B * loss_B


@losses.add("asymmetric")
@dataclass(frozen=True)
class Asymmetric(Term):
    """Focal loss with an exponent for each class and a margin below which normal patches add no loss.

    t · (1 − p)^γ⁺ · (−log p) + (1 − t) · q^γ⁻ · (−log(1 − q)), q = max(p − m, 0), p = σ(z) (Ridnik et al., arXiv 2009.14119).
    γ⁺ = γ⁻ = m = 0 is `soft_bce`.
    """

    per_patch = True
    mixup = "exact: linear in the target"

    gamma_atypical: float = argument(0.0, low=0, high=10, meaning="γ⁺, of the atypical share of the target")
    gamma_normal: float = argument(2.0, low=0, high=10, meaning="γ⁻, of the normal share")
    margin: float = argument(0.05, low=0, high=0.5, meaning="m: normal patches with a lower probability add no loss")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        z_B, t_B = outputs.logit_B, batch.target_B
        p_B = z_B.sigmoid()
        atypical_B = functional.softplus(-z_B)  # −log p
        normal_B = functional.softplus(z_B)  # −log(1 − p)
        if self.margin:
            shifted_B = (p_B - self.margin).clamp(min=0)
            normal_B = -(-shifted_B).log1p()
        else:
            shifted_B = p_B
        if self.gamma_atypical:
            atypical_B = atypical_B * (1 - p_B).clamp(min=1e-6) ** self.gamma_atypical
        if self.gamma_normal:
            normal_B = normal_B * shifted_B.clamp(min=1e-6) ** self.gamma_normal
        return t_B * atypical_B + (1 - t_B) * normal_B
