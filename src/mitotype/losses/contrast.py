"""Contrast between patches: two augmentations of one patch belong together, those of others do not. Reads no label."""

import torch
from torch import Tensor
from torch.nn import functional

from mitotype.core.mistakes import Mistake
from mitotype.losses.objective import Batch, Outputs, Term, losses


@losses.add("contrast")
class Contrast(Term):
    """NT-Xent (Chen et al., arXiv 2002.05709): −log( exp(z_i·z_j/τ) / Σ_{k≠i} exp(z_i·z_k/τ) ), over the pairs i, j of one patch.

    z is the normalised output of a linear further head. A recipe with `draws=2` shows every patch twice in a step.
    """

    per_patch = False
    mixup = "not offered: a mixed picture is no longer one patch"
    says = "two augmentations of one patch are nearer than those of different patches (self-supervised)"
    head = "contrast"
    outputs = 64
    reads_labels = False
    compares_draws = True

    def __init__(self, temperature: float = 0.2) -> None:
        if temperature <= 0:
            raise Mistake(f"contrast({temperature:g}) has no temperature.", allowed="above 0, as in contrast(0.2)")
        self.temperature = temperature

    def __call__(self, outputs: Outputs, batch: Batch) -> Tensor:
        z_BK = functional.normalize(outputs.extra["contrast"], dim=1)
        own_BB = torch.eye(len(z_BK), dtype=torch.bool, device=z_BK.device)
        assert batch.patch_B is not None
        same_BB = (batch.patch_B[:, None] == batch.patch_B[None]) & ~own_BB
        if not bool(same_BB.any()):
            raise Mistake("The term 'contrast' sees every patch once.", fix="set draws=2 in the recipe")
        near_BB = (z_BK @ z_BK.T / self.temperature).masked_fill(own_BB, float("-inf"))
        log_share_BB = near_BB - near_BB.logsumexp(1, keepdim=True)
        return -log_share_BB[same_BB].mean()
