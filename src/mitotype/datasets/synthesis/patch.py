"""Render one synthetic patch: a figure of a form and a severity, the tissue of its case, the scanner of its domain."""

from __future__ import annotations

import numpy as np

from mitotype.datasets.synthesis.fields import PX, noise
from mitotype.datasets.synthesis.figures import FORMS, density
from mitotype.datasets.synthesis.scanner import Scanner, scan
from mitotype.datasets.synthesis.tissue import TissueStyle, tissue


def render_patch(
    rng: np.random.Generator, form: str, severity: float, style: TissueStyle, scanner: Scanner
) -> np.ndarray:
    """Return `image_HW3` uint8, 128 px, with the figure within a few px of the centre."""
    centre = (PX / 2 + rng.normal(0, 1.5), PX / 2 + rng.normal(0, 1.5))
    turn = rng.uniform(0, 2 * np.pi)
    scale = rng.lognormal(0.1, 0.13)
    figure = FORMS[form](rng, severity)
    cell = (figure.cell_px[0] * scale**0.5, figure.cell_px[1] * scale**0.5)
    haem, eosin = tissue(rng, style, centre, cell, turn)
    solid = density(figure, turn=turn, scale=scale, centre=centre, side=PX, fine_px=rng.uniform(1.1, 1.7))
    dark = rng.lognormal(np.log(2.1), 0.18) * (1 + 0.12 * noise(rng, 44))
    haem = haem * (1 - solid) + dark * solid
    eosin = eosin * (1 - 0.5 * solid)
    at_border = rng.random() < 0.02  # beyond the border of a slide patches are filled with black
    image = scan(rng, scanner, haem, eosin)
    if at_border:
        image = image.copy()
        edge = int(rng.integers(4, 30))
        (image[:edge], image[-edge:], image[:, :edge], image[:, -edge:])[rng.integers(4)][:] = 0
    return image
