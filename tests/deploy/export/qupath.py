"""QuPath's reading of a patch, step by step, as its sources have it: the WSInfer extension, and `server.readRegion` of a script."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def java_round(value: float) -> int:
    """`Math.round` of Java: halves are rounded up."""
    return math.floor(value + 0.5)


def resize(image_HW3: np.ndarray, side_px: int) -> np.ndarray:
    """`BufferedImageTools.resize`: ImageJ's bilinear with area averaging is a triangle as wide as the scale, as Pillow's is."""
    return np.asarray(Image.fromarray(image_HW3).resize((side_px, side_px), Image.Resampling.BILINEAR))


def read_region(slide_HW3: np.ndarray, downsample: float, left: int, top: int, side: int) -> np.ndarray:
    """`server.readRegion` of a slide without a pyramid: the region in px of the slide, resized by the downsample."""
    region = slide_HW3[top : top + side, left : left + side]
    assert region.shape[:2] == (side, side)
    return resize(region, max(1, java_round(side / downsample)))


def read_square(slide_HW3: np.ndarray, downsample: float, side_px: int, x: float, y: float) -> np.ndarray:
    """The region of a detection with its centroid at (x, y), of about `side_px` px at the downsample; none at the border."""
    side = java_round(side_px * downsample)
    left, top = java_round(x - side / 2), java_round(y - side / 2)
    assert min(left, top) >= 0 and max(left, top) + side < min(slide_HW3.shape[:2])  # the callers pad these
    return read_region(slide_HW3, downsample, left, top, side)


class WSInferExtension:
    """A model folder as the extension runs it on detections of a slide: read, resize, ToTensor, softmax, argmax."""

    def __init__(self, folder: Path, net: Any) -> None:
        self.config, self.net = json.loads((folder / "config.json").read_text()), net
        [self.resize_px] = [t["arguments"]["size"] for t in self.config["transform"] if t["name"] == "Resize"]

    def read(self, slide_HW3: np.ndarray, mpp_um: float, x: float, y: float) -> np.ndarray:
        """`image_SS3` of a detection with its centroid at (x, y)."""
        downsample = self.config["spacing_um_px"] / mpp_um
        return resize(read_square(slide_HW3, downsample, self.config["patch_size_pixels"], x, y), self.resize_px)

    def classify(self, image_NSS3: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The class names and the softmax `measurement_N2` of patches."""
        import torch

        tensor_N3SS = torch.from_numpy(image_NSS3.transpose(0, 3, 1, 2).copy()).float() / 255
        with torch.inference_mode():
            measurement_N2 = torch.softmax(self.net(tensor_N3SS), 1).numpy()
        return [self.config["class_names"][i] for i in measurement_N2.argmax(1)], measurement_N2
