"""Frame: the deterministic steps between a packed image and the net, the same for every patch and every run."""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.transforms.geometry import center_crop, check_size
from mitotype.transforms.pipeline import Pipeline
from mitotype.transforms.resampling import as_float, resample
from mitotype.transforms.torchvision_steps import apply_torchvision
from mitotype.transforms.transform import FrameOp, Params, TorchvisionOp, WarpOp, to_device


class Frame(Pipeline):
    """Frames batches by a spec such as "crop(64)" or "macenko | fisheye(0.3) | crop(64)".

    Order: torchvision's resize and stain normalisation (on the whole image), fisheye at its full strength, crop. Without a
    crop the largest centred square is taken. Raises a UserError for an invalid spec.
    """

    def __init__(self, spec: str = "crop(64)") -> None:
        super().__init__(spec, random=False)
        no_params: Params = {}
        self._torchvision = [(step.op, no_params) for step in self.steps if isinstance(step.op, TorchvisionOp)]
        self._frame_ops = [step.op for step in self.steps if isinstance(step.op, FrameOp)]
        self._warps = [step.op for step in self.steps if isinstance(step.op, WarpOp)]

    @torch.no_grad()
    def __call__(self, image_B3HW: Tensor) -> Tensor:
        """Return image_B3CC, float32 in [0, 1], channels last, on the device of `image_B3HW` (uint8, or float in [0, 1]).

        Raises a UserError where the images are smaller than the crop.
        """
        if self._torchvision:
            image_B3HW = apply_torchvision(self._torchvision, image_B3HW)
        else:
            check_size(image_B3HW, self.needs_px)
        crop_px = self.output_px(min(image_B3HW.shape[2:]))
        for op in self._frame_ops:
            image_B3HW = op.apply(as_float(image_B3HW))
        if self._warps:
            params = [to_device(warp.fixed_params(len(image_B3HW)) or {}, image_B3HW.device) for warp in self._warps]
            image_B3CC = resample(image_B3HW, list(zip(self._warps, params, strict=True)), crop_px)
        else:
            image_B3CC = as_float(center_crop(image_B3HW, crop_px))
        return image_B3CC.contiguous(memory_format=torch.channels_last)
