"""Contrastive loss: two augmentations of a patch attract each other, those of different patches repel. Uses no labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mitotype.core.arguments import argument
from mitotype.core.errors import UserError
from mitotype.losses.term import Batch, Outputs, Term, losses


@losses.add("contrast")
@dataclass(frozen=True)
class Contrast(Term):
    """Two augmentations of a patch are nearer than those of different patches (self-supervised).

    NT-Xent (Chen et al., arXiv 2002.05709): −log( exp(z_i·z_j/τ) / Σ_{k≠i} exp(z_i·z_k/τ) ), over the pairs i, j of a patch.
    z is the normalised output of a linear auxiliary head. A recipe needs `n_views=2`, two augmentations per patch and step.
    """

    per_patch = False
    mixup = "not supported: a mixed image is no longer one patch"
    head = "contrast"
    n_outputs = 64
    reads_labels = False
    compares_views = True

    temperature: float = argument(0.2, low=0.01, high=100, meaning="τ")

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        z_BK = functional.normalize(outputs.aux["contrast"], dim=1)
        self_BB = torch.eye(len(z_BK), dtype=torch.bool, device=z_BK.device)
        assert batch.patch_B is not None
        same_BB = (batch.patch_B[:, None] == batch.patch_B[None]) & ~self_BB
        if not bool(same_BB.any()):
            raise UserError("The term 'contrast' has one view per patch.", fix="set n_views=2 in the recipe")
        similarity_BB = (z_BK @ z_BK.T / self.temperature).masked_fill(self_BB, float("-inf"))
        log_prob_BB = similarity_BB - similarity_BB.logsumexp(1, keepdim=True)
        return -log_prob_BB[same_BB].mean()
