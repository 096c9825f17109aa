"""A loss: the focal loss on the main logit.

mitotype --plugin loss.py train default --data DATA --set objective=focal
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses import Batch, Outputs, Term, losses


@losses.add("focal")
@dataclass(frozen=True)
class Focal(Term):
    """Cross-entropy that gives less weight to easy patches.

    |t − p|^γ · BCE(p, t), after Lin et al., arXiv 1708.02002, with p = σ(z) and the soft target t.
    """

    per_patch = True
    mixup = "approximate: the weight depends on the mixed target"

    gamma: float = argument(2.0, low=0, high=10, meaning="γ; 0 is soft_bce")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        z_B, t_B = outputs.logit_B, batch.target_B
        bce_B = functional.binary_cross_entropy_with_logits(z_B, t_B, reduction="none")
        return (t_B - z_B.sigmoid()).abs() ** self.gamma * bce_B
