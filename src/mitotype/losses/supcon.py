"""Supervised contrastive loss on the embedding: patches of like targets attract each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.losses.term import Batch, Outputs, Term, losses


@losses.add("supcon")
@dataclass(frozen=True)
class SupCon(Term):
    """Patches are near those that the experts judged alike, on the normalized embedding.

    Σ_i −1/Σ_p w_ip · Σ_p w_ip · log( exp(e_i·e_p/τ) / Σ_{a≠i} exp(e_i·e_a/τ) ) / n, with w_ip = t_i t_p + (1 − t_i)(1 − t_p), the
    probability that votes for i and p agree. For hard targets w is 0 or 1, and this is L_out of Khosla et al., arXiv
    2004.11362. A patch whose votes are ⅓ is a positive of ⅓ weight for an atypical one, of ⅔ for a normal one.
    """

    per_patch = False
    reads_logit = False
    mixup = "approximate: a mixed patch agrees with both of its classes by their shares"

    temperature: float = argument(0.1, low=0.01, high=100, meaning="τ")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        embedding_BD = functional.normalize(outputs.embedding_BD.float(), dim=1)
        t_B = batch.target_B.float()
        is_self_BB = torch.eye(len(t_B), dtype=torch.bool, device=t_B.device)
        similarity_BB = (embedding_BD @ embedding_BD.T / self.temperature).masked_fill(is_self_BB, float("-inf"))
        log_prob_BB = similarity_BB - similarity_BB.logsumexp(1, keepdim=True)
        weight_BB = (torch.outer(t_B, t_B) + torch.outer(1 - t_B, 1 - t_B)).masked_fill(is_self_BB, 0.0)
        total_B = weight_BB.sum(1)
        loss_B = -(weight_BB * log_prob_BB.masked_fill(is_self_BB, 0.0)).sum(1) / total_B.clamp(min=1e-6)
        has_positive_B = total_B > 1e-6
        return loss_B[has_positive_B].sum() / has_positive_B.sum().clamp(min=1)
