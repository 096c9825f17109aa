"""Loss scaling: fp16 has no number below 6e-8, so a trunk is trained on a scaled loss (Micikevicius et al., arXiv 1710.03740)."""

from __future__ import annotations

import torch
from torch.amp import GradScaler

from mitotype.backbones.adaptations import adaptations
from mitotype.core.errors import UserError
from mitotype.fit.recipe import Recipe


def build_scaler(recipe: Recipe, device: str, dtype: torch.dtype | None) -> GradScaler:
    """Return torch's scaler, which skips a step whose gradients overflow and halves its scale then.

    It is off, and changes nothing, unless a trunk is trained in fp16 on a GPU.
    """
    check_precision(recipe, device)
    return GradScaler("cuda", enabled=dtype == torch.float16 and _trains_trunk(recipe))


def check_precision(recipe: Recipe, device: str) -> None:
    """Raise a UserError for training a trunk in fp16 without a GPU, where fp16 is emulated or absent."""
    if recipe.precision == "fp16" and not device.startswith("cuda") and _trains_trunk(recipe):
        what = f"precision is fp16, in which '{recipe.adaptation}' is trained on a GPU only; the device is '{device}'."
        allowed = "auto, bf16 or fp32; fp16 where the trunk is frozen (head, probe, knn, prototype)"
        raise UserError(what, allowed=allowed, fix="set precision=auto, or use --device cuda")


def _trains_trunk(recipe: Recipe) -> bool:
    return not adaptations.build(recipe.adaptation).is_trunk_frozen
