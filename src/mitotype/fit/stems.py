"""Stems: what the frozen part of a trunk says of the training patches, kept where there are finitely many views of each.

A member that leaves the first blocks as they are would walk them again for every patch in every epoch. Where the augmentation is a
finite list (nothing, a mirror, D4's eight), their output is reckoned once and its size is told before a byte is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mitotype.backbones import adapters
from mitotype.backbones.classifier import Classifier, Outputs
from mitotype.backbones.predict import mixed

if TYPE_CHECKING:
    from mitotype.fit.loop import Patches, Place
    from mitotype.fit.recipe import Recipe
    from mitotype.views import Augment

BATCH = 64
SHARE = 0.5  # of the free memory that may be taken


class Stems:
    """`kept_NV…`: tokens after the frozen blocks, or the embedding where the whole trunk is frozen, by patch and view."""

    def __init__(self, model: Classifier, blocks: int, kept_NV: Tensor, draws: str) -> None:
        self.model, self.blocks, self.kept_NV, self.draws = model, blocks, kept_NV, draws

    def of(self, chosen: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """What is kept of the chosen patches under the views that were drawn for them."""
        view_B = drawn[self.draws] if self.draws else torch.zeros(len(chosen), dtype=torch.long)
        return self.kept_NV[chosen, view_B]

    def judge(self, kept: Tensor) -> Outputs:
        """What the model says from there on."""
        if kept.dim() == 2:
            return self.model.judge(kept)
        return self.model.judge(self.model.trunk.tail(kept, self.blocks))


def keep(model: Classifier, recipe: Recipe, patches: Patches, augment: Augment, place: Place) -> Stems | None:
    """The stems of a member's training patches, or None where the model trains its whole trunk, the views are not finitely many,
    pictures are mixed, or memory does not suffice (which is told). The model may be left in evaluation mode."""
    adaptation = adapters.read(recipe.adaptation)
    whole = isinstance(adaptation, adapters.Probe)
    listed = augment.listed()
    if listed is None or recipe.mixup or not (whole or adaptation.last):
        return None
    name, views = listed
    blocks = 0 if whole else len(model.trunk.blocks) - adaptation.last
    told: dict[str, Any] = {"member": place.folder.name, "epochs": recipe.epochs}

    def stem(image_B3HW: Tensor, element: int) -> Tensor:
        image_B3CC = augment.shown(image_B3HW.to(place.device), element)
        with torch.no_grad(), mixed(place.device, place.dtype):
            x_B3SS = model.prepare(image_B3CC)
            found = model.pooled(model.trunk(x_B3SS)) if whole else model.trunk.stem(x_B3SS, blocks)
        return found.to(place.dtype or torch.float32)

    model.eval()
    first = stem(_pictures(patches, 0, 1), 0)
    size = len(patches.image_N3HW) * views * first[0].numel() * first.element_size()
    fits = size < SHARE * free_bytes(place.device) / place.workers
    place.told(told | {"keeps_gb": size / 2**30, "views": views, "kept": fits})
    if not fits:
        return None
    kept_NV = torch.empty((len(patches.image_N3HW), views, *first.shape[1:]), dtype=first.dtype, device=place.device)
    for start in range(0, len(kept_NV), BATCH):
        image_B3HW = _pictures(patches, start, start + BATCH)
        for element in range(views):
            kept_NV[start : start + BATCH, element] = stem(image_B3HW, element)
    return Stems(model, blocks, kept_NV, name)


def _pictures(patches: Patches, start: int, stop: int) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(patches.image_N3HW[start:stop]))


def free_bytes(device: str) -> float:
    """Memory that is free where stems are kept."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(torch.device(device))[0])
    import psutil

    return float(psutil.virtual_memory().available)
