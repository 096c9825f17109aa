"""Six example patches, generated from a stored seed and shipped as PNG: `python -m mitotype.datasets.synthesis.examples`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mitotype.core.examples import EXAMPLES
from mitotype.core.images import center_crop
from mitotype.core.seeds import numpy_generator
from mitotype.datasets.synthesis.patch import render_patch
from mitotype.datasets.synthesis.scanner import sample_scanner
from mitotype.datasets.synthesis.tissue import sample_style

PX = 80
# name → seed, form and severity (0 a normal phase, 1 atypical)
PATCHES = {
    "1": (13, "bridge", 1.0), "2": (15, "lagging", 0.0), "3": (5, "tripolar", 1.0),
    "4": (25, "asymmetric", 0.0), "5": (11, "bridge", 0.0), "6": (9, "lagging", 1.0),
}  # fmt: skip


def render(seed: int, form: str, severity: float) -> np.ndarray:
    """Return `image_HW3` uint8, PX px: a figure in tissue and under a scanner of its own."""
    rng = numpy_generator(seed, "example")
    style, scanner = sample_style(rng), sample_scanner(rng)
    return center_crop(render_patch(rng, form, severity, style, scanner), PX)


def examples() -> Iterator[tuple[Path, np.ndarray]]:
    """Yield the file of every example and its image."""
    for name, (seed, form, severity) in PATCHES.items():
        yield EXAMPLES / f"{name}.png", render(seed, form, severity)


def main() -> None:
    EXAMPLES.mkdir(exist_ok=True)
    for path, image_HW3 in examples():
        Image.fromarray(image_HW3).save(path, optimize=True)


if __name__ == "__main__":
    main()
