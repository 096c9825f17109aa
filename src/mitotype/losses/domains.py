"""Terms on the domains of the training patches: an adversary, heads of the domains, and aligned covariances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.losses.term import Batch, Loss, LossContext, Outputs, Term, losses


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by −λ."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: float) -> Tensor:
        context.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -context.weight * gradients[0], None


def adversary_weight(progress: float) -> float:
    """Return λ = 2/(1 + exp(−10·progress)) − 1, which rises from 0 to 1 (Ganin et al., arXiv 1505.07818, equation 14)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def check_domains(name: str, context: LossContext) -> None:
    """Raise a UserError for fewer than two domains."""
    if len(context.domains) < 2:
        what = f"The loss '{name}' compares domains, and the training patches have {len(context.domains)}."
        raise UserError(what, fix=f"remove {name} from the objective, or fill the column 'domain'")


@losses.add("domain_adversary")
@dataclass(frozen=True)
class DomainAdversary(Term):
    """A classifier of the domain on the embedding, whose gradient is reversed.

    −Σ_m d_m · log softmax(u)_m with u = MLP(R_λ(embedding)): R_λ is the identity forward and −λ backward, λ rises as in
    `adversary_weight` (Ganin et al., arXiv 1505.07818). The MLP has one hidden layer and is not stored. Our reading of the
    domain-adaptive head of arXiv 2509.02601. Needs no votes; a patch without a domain adds no loss.
    """

    per_patch = True
    mixup = "exact: the loss is linear in the domains, which are mixed by the same λ"
    reads_logit = False
    reads_labels = False

    width: int = argument(64, low=1, high=4096, meaning="units of the hidden layer")

    def build(self, context: LossContext) -> Loss:
        check_domains("domain_adversary", context)
        return DomainClassifier(context.embedding_dim, self.width, len(context.domains))


class DomainClassifier(nn.Module):
    """The built adversary."""

    def __init__(self, embedding_dim: int, width: int, n_domains: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(embedding_dim, width), nn.ReLU(), nn.Linear(width, n_domains))

    def forward(self, outputs: Outputs, batch: Batch) -> Tensor:
        assert batch.domain_BM is not None
        reversed_BD = ReversedGradient.apply(outputs.embedding_BD.float(), adversary_weight(batch.progress))
        return -(batch.domain_BM * functional.log_softmax(self.layers(reversed_BD), 1)).sum(1)


@losses.add("domain_heads")
@dataclass(frozen=True)
class DomainHeads(Term):
    """A linear head for each domain on the shared embedding, beside the main one.

    Σ_m d_m · CE(w_m·embedding + b_m, t): the other reading of a domain-adaptive head (arXiv 2509.02601). Each domain has its own
    boundary, so that the embedding need not hide a shift of the boundary; a new domain is scored by the main head, and these
    heads are not stored.
    """

    per_patch = True
    mixup = "exact: linear in target and domain where both patches are of one domain, else a product of both mixtures"
    reads_logit = False

    def build(self, context: LossContext) -> Loss:
        check_domains("domain_heads", context)
        return HeadsOfDomains(context.embedding_dim, len(context.domains))


class HeadsOfDomains(nn.Module):
    """The built heads."""

    def __init__(self, embedding_dim: int, n_domains: int) -> None:
        super().__init__()
        self.heads = nn.Linear(embedding_dim, n_domains)
        nn.init.normal_(self.heads.weight, std=0.1 / embedding_dim**0.5)
        nn.init.zeros_(self.heads.bias)

    def forward(self, outputs: Outputs, batch: Batch) -> Tensor:
        assert batch.domain_BM is not None
        logit_BM = self.heads(outputs.embedding_BD.float())
        target_BM = batch.target_B[:, None].expand_as(logit_BM)
        loss_BM = functional.binary_cross_entropy_with_logits(logit_BM, target_BM, reduction="none")
        return (batch.domain_BM * loss_BM).sum(1)


@losses.add("coral")
@dataclass(frozen=True)
class Coral(Term):
    """The embeddings of all domains have the same covariance.

    Mean over pairs of domains of ‖C_a − C_b‖² / (4 D²), with C the covariance of the batch's patches of a domain (Sun & Saenko,
    arXiv 1607.01719, for several domains). Domains with fewer than two patches in the batch are left out. Uses no labels.
    """

    per_patch = False
    mixup = "approximate: a mixed patch counts for the domain of its larger share"
    reads_logit = False
    reads_labels = False

    def build(self, context: LossContext) -> Loss:
        check_domains("coral", context)
        return self

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        embedding_BD, domain_B = outputs.embedding_BD.float(), batch.domain_B
        width = embedding_BD.shape[1]
        covariances = [
            torch.cov(embedding_BD[domain_B == domain].T).view(width, width)
            for domain in domain_B.unique().tolist()
            if domain >= 0 and int((domain_B == domain).sum()) > 1
        ]
        pairs = [(a - b).square().sum() for i, a in enumerate(covariances) for b in covariances[:i]]
        return torch.stack(pairs).mean() / (4 * width**2) if pairs else embedding_BD.sum() * 0.0
