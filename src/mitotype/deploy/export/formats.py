"""The formats by name. Each has a file in this package, with the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mitotype.deploy.export import onnx, opencv, timm, wsinfer


@dataclass(frozen=True)
class Format:
    """`export` writes a bundle, given its name or folder, to a path. `suffix` is that of its file, "" for a folder."""

    export: Callable[[str, Path], Path]
    suffix: str = ""


FORMATS = {
    "onnx": Format(onnx.export, ".onnx"),
    "opencv": Format(opencv.export),
    "timm": Format(timm.export),
    "wsinfer": Format(wsinfer.export),
}
