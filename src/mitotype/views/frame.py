"""Frame: the deterministic steps between a packed picture and the net, the same for every patch and every run."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mitotype.views.crop import Crop, centred, check_size
from mitotype.views.reading import read, written
from mitotype.views.view import Framing, Warp
from mitotype.views.warp import as_float, resample


class Frame:
    """A sentence such as "crop(64)" or "macenko | fisheye(0.3) | crop(64)", read once and called on batches.

    Order: stain normalisation (on the whole picture), fisheye at its fixed strength, crop. Without a crop the largest
    centred square stays. Raises a Mistake for a sentence that is not one.
    """

    def __init__(self, sentence: str = "crop(64)") -> None:
        self.steps = read(sentence, random=False)
        self.sentence = written(self.steps)
        self._framings = [step.view for step in self.steps if isinstance(step.view, Framing)]
        self._warps = [step.view for step in self.steps if isinstance(step.view, Warp)]
        crops = [step.view for step in self.steps if isinstance(step.view, Crop)]
        self._crop_px = crops[0].px if crops else None

    @property
    def needs_px(self) -> int:
        """The smallest side of a picture that is framed."""
        return self._crop_px or 1

    def output_px(self, input_px: int) -> int:
        """The side of what comes out for pictures whose shorter side is `input_px`."""
        return self._crop_px or input_px

    @torch.no_grad()
    def __call__(self, image_B3HW: Tensor) -> Tensor:
        """image_B3CC, float32 in [0, 1], channels last, on the device of `image_B3HW` (uint8, or float in [0, 1]).

        Raises a Mistake where the pictures are smaller than the crop.
        """
        check_size(image_B3HW, self.needs_px)
        crop_px = self.output_px(min(image_B3HW.shape[2:]))
        for framing in self._framings:
            image_B3HW = framing.apply(as_float(image_B3HW))
        if self._warps:
            drawn = [cast("dict[str, Tensor]", warp.settled(len(image_B3HW))) for warp in self._warps]
            moved = [{key: value.to(image_B3HW.device) for key, value in d.items()} for d in drawn]
            image_B3CC = resample(image_B3HW, list(zip(self._warps, moved, strict=True)), crop_px)
        else:
            image_B3CC = as_float(centred(image_B3HW, crop_px))
        return image_B3CC.contiguous(memory_format=torch.channels_last)

    def __repr__(self) -> str:
        return f"Frame({self.sentence!r})"
