"""A loss that needs the width of the embedding and the domains: learned centres of both classes in every domain.

mitotype --plugin loss_of_domains.py train default --data DATA --set "objective=soft_bce + 0.01 * centers"
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mitotype.losses import Batch, Loss, LossContext, Outputs, Term, losses


@losses.add("centers")
@dataclass(frozen=True)
class Centers(Term):
    """Squared distance of an embedding from the learned centre of its class in its domain.

    ½‖e − c_{m,y}‖², after Wen et al. (ECCV 2016), with a centre for each domain m and class y. A soft target t is at
    t·c_{m,1} + (1 − t)·c_{m,0}; a patch without a domain adds no loss.
    """

    per_patch = True
    mixup = "exact: the centre of a mixed patch is mixed by the same λ"
    reads_logit = False

    def build(self, context: LossContext) -> Loss:
        return BuiltCenters(len(context.domains), context.embedding_dim)


class BuiltCenters(nn.Module):
    """The centres, which are trained with the net and not stored with it."""

    def __init__(self, n_domains: int, embedding_dim: int) -> None:
        super().__init__()
        self.center_MYD = nn.Parameter(torch.zeros(n_domains, 2, embedding_dim))

    def forward(self, outputs: Outputs, batch: Batch) -> Tensor:
        assert batch.domain_BM is not None
        class_BY = torch.stack([1 - batch.target_B, batch.target_B], 1)
        center_BD = torch.einsum("bm,by,myd->bd", batch.domain_BM, class_BY, self.center_MYD)
        return (outputs.embedding_BD.float() - center_BD).square().sum(1) / 2 * batch.domain_BM.sum(1)
