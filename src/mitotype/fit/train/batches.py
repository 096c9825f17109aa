"""Batches of a training step: images augmented and mixed, with their targets.

Shapes: B patches, C side of the framed image in px.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mitotype.core import seeds
from mitotype.fit.recipe import Recipe
from mitotype.fit.train import cutmix, mixup
from mitotype.fit.train.distributed import Ranks
from mitotype.fit.train.frozen_cache import FrozenFeatureCache
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.losses import Batch
from mitotype.transforms import Augment, slice_params


@dataclass(frozen=True)
class BatchSource:
    """What batches are made of. `frozen_cache` has frozen features in place of images; None where there is no such cache."""

    recipe: Recipe
    data: TrainData
    augment: Augment
    seed: int
    context: TrainContext
    ranks: Ranks
    frozen_cache: FrozenFeatureCache | None

    def parts(
        self, patch_B: np.ndarray, epoch: int, step: int, progress: float = 0.0
    ) -> Iterator[tuple[Tensor, Batch]]:
        """Yield inputs and targets of one step: this rank's share of the batch, in `grad_accum_steps` parts.

        Random parameters are drawn for the whole batch, so that a patch is augmented alike for any number of ranks and parts.
        """
        recipe, data, device = self.recipe, self.data, self.context.device
        patch_B = np.repeat(patch_B, recipe.n_views)
        generator = seeds.torch_generator(self.seed, "step", epoch, step)
        input_px = data.image_N3HW.shape[-1]
        params = self.augment.sample_params(len(patch_B), generator, input_px)
        mix, box_B4 = None, None
        if cutmix.is_selected(recipe.cutmix, recipe.mixup, generator):
            mix, box_B4 = cutmix.sample(len(patch_B), recipe.cutmix, self.augment.output_px(input_px), generator)
        elif recipe.mixup:
            mix = mixup.sample(len(patch_B), recipe.mixup, generator)
        target_B = torch.from_numpy(data.target_N[patch_B]).to(device)
        label_B = torch.from_numpy(data.label_N[patch_B]).to(device, torch.float32)
        aux = {name: torch.from_numpy(target[patch_B]).to(device) for name, target in data.aux_targets.items()}
        domain_NM = np.zeros((len(data.label_N), 0), np.float32) if data.domain_NM is None else data.domain_NM
        domain_BM = torch.from_numpy(domain_NM[patch_B]).to(device)
        index_B = torch.from_numpy(patch_B)

        def inputs(rows: slice | Tensor) -> Tensor:
            if self.frozen_cache:
                return self.frozen_cache.lookup(index_B[rows], slice_params(params, rows))
            image_B3HW = torch.from_numpy(np.array(data.image_N3HW[patch_B[rows]])).to(device)
            return self.augment.apply(image_B3HW, slice_params(params, rows))

        for rows in self.ranks.slices(len(patch_B), recipe.grad_accum_steps):
            x_B, part_B, part_aux = inputs(rows), target_B[rows], {k: v[rows] for k, v in aux.items()}
            part_label_B, part_domain_BM = label_B[rows], domain_BM[rows]
            if mix is not None:
                perm_B, lam_B = mix[0][rows], mix[1][rows]
                other_B = x_B[perm_B] if len(x_B) == len(patch_B) else inputs(perm_B)
                x_B = mixup.mix(x_B, other_B, lam_B) if box_B4 is None else cutmix.paste(x_B, other_B, box_B4[rows])
                part_B = mixup.mix(part_B, target_B[perm_B], lam_B)
                part_label_B = mixup.mix(part_label_B, label_B[perm_B], lam_B)
                part_domain_BM = mixup.mix(part_domain_BM, domain_BM[perm_B], lam_B)
                part_aux = {k: mixup.mix(v, aux[k][perm_B], lam_B) for k, v in part_aux.items()}
            yield x_B, Batch(part_B, part_aux, index_B[rows].to(device), part_label_B, part_domain_BM, progress)
