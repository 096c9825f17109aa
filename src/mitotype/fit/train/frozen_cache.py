"""Cache of the activations of frozen layers, for augmentations with finitely many outcomes (none, a mirror, D4's eight).

A member that trains only the last blocks or the heads would otherwise run the frozen blocks on every patch in every epoch.

Shapes: N training patches, V views of each, B patches of a step.
"""

from __future__ import annotations

import numpy as np
import psutil
import torch
from torch import Tensor

from mitotype.backbones.adaptations import adaptations
from mitotype.backbones.classifier import Classifier, Outputs
from mitotype.backbones.predict import autocast
from mitotype.core.run_layout import LogLine
from mitotype.fit.recipe import Recipe
from mitotype.fit.train.inputs import TrainContext, TrainData
from mitotype.transforms import Augment

BATCH = 64
MAX_MEMORY_SHARE = 0.5  # of the free memory


class FrozenFeatureCache:
    """`feature_NV…`: tokens after the frozen blocks (or the embedding of a frozen trunk, float32) by patch and view.

    `view_parameter` is the augmentation's parameter that numbers the views, "" for a single view.
    """

    def __init__(self, model: Classifier, n_frozen_blocks: int, feature_NV: Tensor, view_parameter: str) -> None:
        self.model, self.n_frozen_blocks = model, n_frozen_blocks
        self.feature_NV, self.view_parameter = feature_NV, view_parameter

    def lookup(self, patch_B: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Return the features of patches under the views that were sampled for them."""
        view_B = params[self.view_parameter] if self.view_parameter else torch.zeros(len(patch_B), dtype=torch.long)
        return self.feature_NV[patch_B, view_B]

    def forward(self, feature_B: Tensor) -> Outputs:
        """Return the model's outputs from cached features."""
        if feature_B.dim() == 2:
            return self.model.head_forward(feature_B)
        return self.model.head_forward(self.model.trunk.forward_from(feature_B, self.n_frozen_blocks))


def build(
    model: Classifier, recipe: Recipe, data: TrainData, augment: Augment, context: TrainContext
) -> FrozenFeatureCache | None:
    """Return the cache of a member's training patches; its size is logged first.

    None where the whole trunk is trained, the augmentation has infinitely many outcomes, images are mixed, or memory does
    not suffice. The model may be left in evaluation mode.
    """
    adaptation = adaptations.build(recipe.adaptation)
    is_trunk_frozen = adaptation.is_trunk_frozen
    views = augment.enumerate_params()
    if views is None or recipe.mixup or recipe.cutmix or not (is_trunk_frozen or adaptation.last):
        return None
    view_parameter, n_views = views
    n_frozen_blocks = 0 if is_trunk_frozen else len(model.trunk.blocks) - adaptation.last

    def features(start: int, stop: int, view: int) -> Tensor:
        image_B3HW = torch.from_numpy(np.array(data.image_N3HW[start:stop])).to(context.device)
        image_B3CC = augment.apply_nth(image_B3HW, view)
        with torch.no_grad(), autocast(context.device, context.amp_dtype):
            x_B3SS = model.prepare(image_B3CC)
            trunk = model.trunk
            feature_B = model.pool(trunk(x_B3SS)) if is_trunk_frozen else trunk.forward_until(x_B3SS, n_frozen_blocks)
        return feature_B.to(torch.float32 if is_trunk_frozen else context.amp_dtype or torch.float32)

    model.eval()
    n_patches, first = len(data.image_N3HW), features(0, 1, 0)[0]
    n_bytes = n_patches * n_views * first.numel() * first.element_size()
    fits = n_bytes < MAX_MEMORY_SHARE * free_bytes(context.device) / context.workers
    gb = n_bytes / 2**30
    context.on_log(LogLine(member=context.dir.name, epochs=recipe.epochs, cache_gb=gb, views=n_views, cached=fits))
    if not fits:
        return None
    feature_NV = torch.empty((n_patches, n_views, *first.shape), dtype=first.dtype, device=context.device)
    for start in range(0, n_patches, BATCH):
        for view in range(n_views):
            feature_NV[start : start + BATCH, view] = features(start, start + BATCH, view)
    return FrozenFeatureCache(model, n_frozen_blocks, feature_NV, view_parameter)


def free_bytes(device: str) -> float:
    """Return the free memory of a device."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(torch.device(device))[0])
    return float(psutil.virtual_memory().available)
