"""A loss: PolyLoss on the main logit.

mitotype --plugin loss.py train default --data DATA --set "objective=poly(1)"
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses import Batch, Outputs, Term, losses


@losses.add("poly")
@dataclass(frozen=True)
class Poly(Term):
    """Cross-entropy plus ε times the probability of the other class.

    BCE(z, t) + ε·|t − σ(z)|, after Leng et al., arXiv 2204.12511, with the soft target t.
    """

    per_patch = True
    mixup = "approximate: the absolute value is not linear in the target"

    epsilon: float = argument(1.0, low=0, high=10, meaning="ε; 0 is soft_bce")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        z_B, t_B = outputs.logit_B, batch.target_B
        bce_B = functional.binary_cross_entropy_with_logits(z_B, t_B, reduction="none")
        return bce_B + self.epsilon * (t_B - z_B.sigmoid()).abs()
