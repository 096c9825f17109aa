"""Steps that are torchvision's own transforms, applied to each patch as a PIL image in the order of the spec.

A random step has one parameter per patch, the seed of torch's generator for that patch. Its random numbers are then those that
torchvision draws itself, and a patch is transformed alike in any batch. The steps take the published patch of 128 px whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from mitotype.core.schema import PATCH_PX
from mitotype.transforms.geometry import center_crop, check_size
from mitotype.transforms.transform import Params, TorchvisionOp

SEED = "seed_B"
MAX_SEED = 2**63 - 1


def sample_seeds(batch_size: int, generator: torch.Generator) -> Params:
    """Return the parameters of a random step."""
    return {SEED: torch.randint(0, MAX_SEED, (batch_size,), generator=generator)}


def apply_torchvision(ops: Sequence[tuple[TorchvisionOp, Params]], image_B3HW: Tensor) -> Tensor:
    """Return `image_B3CC`, uint8, on the device of the images (uint8, or float in [0, 1], which is rounded).

    Raises a UserError for images that are smaller than the published patch.
    """
    from torchvision.transforms import functional  # two seconds to import

    check_size(image_B3HW, PATCH_PX, "the first step, one of torchvision's,")
    patch_B3PP = center_crop(image_B3HW, PATCH_PX).cpu()
    if patch_B3PP.is_floating_point():
        patch_B3PP = patch_B3PP.mul(255).round().byte()
    transforms = [(op.build(), params[SEED].tolist() if op.random else None) for op, params in ops]
    result = []
    with torch.random.fork_rng(devices=[]):
        for row, patch_PP3 in enumerate(patch_B3PP.permute(0, 2, 3, 1).contiguous().numpy()):
            image = Image.fromarray(patch_PP3)
            for transform, seeds in transforms:
                if seeds is not None:
                    torch.default_generator.manual_seed(seeds[row])  # torch.manual_seed would seed GPUs as well
                image = transform(image)
            result.append(functional.pil_to_tensor(image))
    return torch.stack(result).to(image_B3HW.device)
