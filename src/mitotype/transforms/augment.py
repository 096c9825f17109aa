"""Augment: the random steps of training. Parameters are sampled for a whole batch on the CPU and applied on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.core.schema import PATCH_PX
from mitotype.transforms.distributions import target_index
from mitotype.transforms.geometry import center_crop, check_size
from mitotype.transforms.pipeline import Pipeline
from mitotype.transforms.resampling import Buffer, as_float, resample
from mitotype.transforms.torchvision_steps import apply_torchvision, sample_seeds
from mitotype.transforms.transform import FrameOp, Params, PixelOp, TorchvisionOp, Transform, WarpOp, to_device


def slice_params(params: Params, rows: slice | Tensor) -> Params:
    """Return the parameters of some patches: applied to those patches they give what the whole batch gives there."""
    return {key: value[rows] for key, value in params.items()}


class Augment(Pipeline):
    """Augments batches by a spec such as "affine(shift=3) | elastic(3, 12) | d4 | stain(0.1) | blur(1, p=0.5) | crop(64)".

    Order: torchvision's transforms one after another, stain normalisation of the whole image, warps (all of them one resampling
    straight onto the crop), pixel steps on the crop, crop. Without a crop the largest centred square is taken. `p` is the
    probability with which a warp or pixel step is applied to a patch; a pixel step does not touch the other patches.

    `bank_K3HW` contains the targets of `fourier`, uint8 or float. Without it the targets are other patches of the images
    that are given to `apply`: the one case in which a part of a batch differs from the whole.

    Raises a UserError for an invalid spec, and for a bank whose images are smaller than the crop. Without a crop the spec is
    checked for published patches.
    """

    def __init__(self, spec: str, *, bank_K3HW: Tensor | None = None) -> None:
        super().__init__(spec, random=True)
        for step in self.steps:
            if isinstance(step.op, PixelOp):
                step.op.check_crop(self.output_px(PATCH_PX))
        self._bank_K3HW = bank_K3HW
        self._buffer = Buffer()
        if bank_K3HW is not None:
            check_size(bank_K3HW, self.needs_px)

    @property
    def needs_targets(self) -> bool:
        """Whether a step of the spec reads another image beside each patch."""
        return any(isinstance(step.op, PixelOp) and step.op.needs_targets for step in self.steps)

    def sample_params(self, batch_size: int, generator: torch.Generator, input_px: int) -> Params:
        """Return the random parameters of `batch_size` patches of `input_px`: CPU tensors with one row per patch."""
        crop_px = self.output_px(input_px)
        params: Params = {}
        for i, step in enumerate(self.steps):
            if not _is_random(step.op):
                continue
            if isinstance(step.op, WarpOp | PixelOp):
                step_params = step.op.sample_params(batch_size, generator, crop_px)
            else:
                step_params = sample_seeds(batch_size, generator)
            if step.p < 1:
                applied_B = torch.rand(batch_size, generator=generator) < step.p
                if isinstance(step.op, WarpOp):  # neutral at 0
                    step_params = {k: v * applied_B.view(-1, *[1] * (v.ndim - 1)) for k, v in step_params.items()}
                else:
                    step_params["applied_B"] = applied_B
            params.update({f"{i}.{step.name}.{key}": value for key, value in step_params.items()})
        return params

    def enumerate_params(self) -> tuple[str, int] | None:
        """Return the parameter that numbers the augmentations of a patch ("" for a single one) and their number.

        None where they are not finitely many.
        """
        random = [(i, step) for i, step in enumerate(self.steps) if _is_random(step.op)]
        if not random:
            return "", 1
        i, step = random[0]
        if len(random) > 1 or not isinstance(step.op, WarpOp) or not step.op.n_elements:
            return None
        [name] = step.op.sample_params(1, torch.Generator(), 1)
        return f"{i}.{step.name}.{name}", step.op.n_elements

    def apply_nth(self, image_B3HW: Tensor, n: int) -> Tensor:
        """Return `image_B3CC` under the n-th of the augmentations of `enumerate_params`."""
        name, _ = self.enumerate_params() or ("", 1)
        return self.apply(image_B3HW, {name: torch.full((len(image_B3HW),), n)} if name else {})

    @torch.no_grad()
    def apply(self, image_B3HW: Tensor, params: Params) -> Tensor:
        """Return image_B3CC, float32 in [0, 1], channels last, on the device of `image_B3HW` (uint8, or float in [0, 1]).

        Raises a UserError where the images are smaller than the crop.
        """
        if self.has_torchvision:
            ops = [(i, step.op) for i, step in enumerate(self.steps) if isinstance(step.op, TorchvisionOp)]
            image_B3HW = apply_torchvision([(op, self._params_of(i, params)) for i, op in ops], image_B3HW)
        else:
            check_size(image_B3HW, self.needs_px)
        crop_px = self.output_px(min(image_B3HW.shape[2:]))
        warps: list[tuple[WarpOp, Params]] = []
        pixel_ops: list[tuple[PixelOp, Params]] = []
        for i, step in enumerate(self.steps):
            step_params = self._params_of(i, params)
            if isinstance(step.op, FrameOp):
                image_B3HW = step.op.apply(as_float(image_B3HW))
            elif isinstance(step.op, WarpOp):
                warps.append((step.op, to_device(step_params, image_B3HW.device)))
            elif isinstance(step.op, PixelOp):
                pixel_ops.append((step.op, step_params))
        image_B3CC = resample(image_B3HW, warps, crop_px, self._buffer)
        for op, step_params in pixel_ops:
            image_B3CC = self._apply_pixel_op(op, image_B3CC, step_params)
        return image_B3CC.contiguous(memory_format=torch.channels_last)

    def _params_of(self, i: int, params: Params) -> Params:
        """Return the parameters of step number `i`."""
        prefix = f"{i}.{self.steps[i].name}."
        return {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}

    def _apply_pixel_op(self, op: PixelOp, image_B3CC: Tensor, params: Params) -> Tensor:
        device = image_B3CC.device
        applied_B = params.pop("applied_B", None)
        if op.needs_targets:
            params["target_B3CC"] = self._targets(image_B3CC, params["target_B"])
        params = to_device(params, device)
        if applied_B is None or bool(applied_B.all()):
            return op.apply(image_B3CC, params)
        if not bool(applied_B.any()):
            return image_B3CC
        rows = applied_B.nonzero().squeeze(1).to(device)
        return image_B3CC.index_copy_(0, rows, op.apply(image_B3CC[rows], slice_params(params, rows)))

    def _targets(self, image_B3CC: Tensor, target_B: Tensor) -> Tensor:
        if self._bank_K3HW is None:
            return image_B3CC[target_index(target_B, len(image_B3CC), exclude_self=True).to(image_B3CC.device)]
        rows = target_index(target_B, len(self._bank_K3HW), exclude_self=False).to(self._bank_K3HW.device)
        return as_float(center_crop(self._bank_K3HW[rows], image_B3CC.shape[-1])).to(image_B3CC.device)


def _is_random(op: Transform) -> bool:
    return isinstance(op, WarpOp | PixelOp) or (isinstance(op, TorchvisionOp) and op.random)
