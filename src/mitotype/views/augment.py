"""Augment: the random steps of training. Parameters are drawn for a whole batch on the CPU and applied on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from mitotype.views.crop import Crop, centred, check_size
from mitotype.views.fourier import target_rows
from mitotype.views.reading import read, written
from mitotype.views.view import Drawn, Framing, Pixel, Warp
from mitotype.views.warp import Room, as_float, resample


def rows_of(drawn: Drawn, rows: slice | Tensor) -> Drawn:
    """The parameters of some patches: applied to those patches they give what the whole batch gives there."""
    return {key: value[rows] for key, value in drawn.items()}


class Augment:
    """A sentence such as "affine(shift=3) | elastic(3, 12) | d4 | stain(0.1) | blur(1, p=0.5) | noise(0.02) | crop(64)".

    Order: stain normalisation of the whole picture, warps (all of them one resampling straight onto the crop), pixel steps
    on the crop, crop. Without a crop the largest centred square stays. `p` is the probability with which each patch meets
    a step; a patch that does not meet a pixel step is not touched by it.

    `bank_K3HW` holds the targets of `fourier`, uint8 or float. Without it the targets are other patches of the pictures
    that are given to `apply`: the one case where a part of a batch differs from the whole.

    Raises a Mistake for a sentence that is not one, and for a bank whose pictures are smaller than the crop.
    """

    def __init__(self, sentence: str, *, bank_K3HW: Tensor | None = None) -> None:
        self.steps = read(sentence, random=True)
        self.sentence = written(self.steps)
        crops = [step.view for step in self.steps if isinstance(step.view, Crop)]
        self._crop_px = crops[0].px if crops else None
        self._bank_K3HW = bank_K3HW
        self._room = Room()
        if bank_K3HW is not None:
            check_size(bank_K3HW, self.needs_px)

    @property
    def needs_px(self) -> int:
        """The smallest side of a picture that is taken. What a warp reads past the edge is the picture's reflection."""
        return self._crop_px or 1

    def output_px(self, input_px: int) -> int:
        """The side of what comes out for pictures whose shorter side is `input_px`."""
        return self._crop_px or input_px

    def draw(self, batch_size: int, generator: torch.Generator, input_px: int) -> Drawn:
        """The random parameters of `batch_size` patches of `input_px`: CPU tensors with one row per patch."""
        crop_px = self.output_px(input_px)
        drawn: Drawn = {}
        for place, step in enumerate(self.steps):
            if not isinstance(step.view, Warp | Pixel):
                continue
            own = step.view.draw(batch_size, generator, crop_px)
            if step.p < 1:
                met_B = torch.rand(batch_size, generator=generator) < step.p
                if isinstance(step.view, Warp):
                    own = {key: value * met_B.view(-1, *[1] * (value.ndim - 1)) for key, value in own.items()}
                else:
                    own["met_B"] = met_B
            drawn.update({f"{place}.{step.name}.{key}": value for key, value in own.items()})
        return drawn

    def listed(self) -> tuple[str, int] | None:
        """Where a patch has finitely many augmentations: the drawn parameter that numbers them ("" for a single one) and how
        many there are. None where they are a continuum."""
        random = [(place, step) for place, step in enumerate(self.steps) if isinstance(step.view, Warp | Pixel)]
        if not random:
            return "", 1
        place, step = random[0]
        if len(random) > 1 or not isinstance(step.view, Warp) or not step.view.elements:
            return None
        [name] = step.view.draw(1, torch.Generator(), 1)
        return f"{place}.{step.name}.{name}", step.view.elements

    def shown(self, image_B3HW: Tensor, number: int) -> Tensor:
        """`image_B3CC` of pictures under one of the listed augmentations."""
        name, _ = self.listed() or ("", 1)
        return self.apply(image_B3HW, {name: torch.full((len(image_B3HW),), number)} if name else {})

    @torch.no_grad()
    def apply(self, image_B3HW: Tensor, drawn: Drawn) -> Tensor:
        """image_B3CC, float32 in [0, 1], channels last, on the device of `image_B3HW` (uint8, or float in [0, 1]).

        Raises a Mistake where the pictures are smaller than the crop.
        """
        check_size(image_B3HW, self.needs_px)
        crop_px = self.output_px(min(image_B3HW.shape[2:]))
        warps: list[tuple[Warp, Drawn]] = []
        pixels: list[tuple[Pixel, Drawn]] = []
        for place, step in enumerate(self.steps):
            start = f"{place}.{step.name}."
            own = {key.removeprefix(start): value for key, value in drawn.items() if key.startswith(start)}
            if isinstance(step.view, Framing):
                image_B3HW = step.view.apply(as_float(image_B3HW))
            elif isinstance(step.view, Warp):
                warps.append((step.view, _on(own, image_B3HW.device)))
            elif isinstance(step.view, Pixel):
                pixels.append((step.view, own))
        image_B3CC = resample(image_B3HW, warps, crop_px, self._room)
        for pixel, own in pixels:
            image_B3CC = self._met(pixel, image_B3CC, own)
        return image_B3CC.contiguous(memory_format=torch.channels_last)

    def _met(self, pixel: Pixel, image_B3CC: Tensor, drawn: Drawn) -> Tensor:
        """The pixel step on those patches that meet it."""
        device = image_B3CC.device
        met_B = drawn.pop("met_B", None)
        if pixel.needs_targets:
            drawn["target_B3CC"] = self._targets(image_B3CC, drawn["target_B"])
        if met_B is None or bool(met_B.all()):
            return pixel.apply(image_B3CC, _on(drawn, device))
        if not bool(met_B.any()):
            return image_B3CC
        rows = met_B.nonzero().squeeze(1)
        part = {key: value[rows.to(value.device)] for key, value in drawn.items()}
        rows = rows.to(device)
        return image_B3CC.index_copy_(0, rows, pixel.apply(image_B3CC[rows], _on(part, device)))

    def _targets(self, image_B3CC: Tensor, target_B: Tensor) -> Tensor:
        if self._bank_K3HW is None:
            return image_B3CC[target_rows(target_B, len(image_B3CC), own=True).to(image_B3CC.device)]
        rows = target_rows(target_B, len(self._bank_K3HW), own=False).to(self._bank_K3HW.device)
        return as_float(centred(self._bank_K3HW[rows], image_B3CC.shape[-1])).to(image_B3CC.device)

    def __repr__(self) -> str:
        return f"Augment({self.sentence!r})"


def _on(drawn: Drawn, device: torch.device) -> Drawn:
    return {key: value.to(device, non_blocking=True) for key, value in drawn.items()}
