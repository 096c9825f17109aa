"""Stain and scanner: the two maps become colour, blurred, sharpened, noisy and compressed as one domain does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np

from mitotype.datasets.synthesis.fields import PX, smoothed

HAEMATOXYLIN = (0.65, 0.70, 0.29)  # Ruifrok and Johnston (2001), unit vectors of optical density
EOSIN = (0.07, 0.99, 0.11)
SALMON = 0.45  # eosin's density in blue where a laboratory's eosin, or its scanner, is orange


@dataclass(frozen=True)
class Scanner:
    """What a laboratory and its scanner do to a patch; a case shifts the stain a little."""

    haematoxylin: np.ndarray  # optical density per concentration, red green blue
    eosin: np.ndarray
    background: np.ndarray  # of empty glass, 0–1
    gamma: float
    blur_px: float
    sharpen: float
    noise: float  # of 255 grey levels
    jpeg: int


def scanner(rng: np.random.Generator) -> Scanner:
    """A domain's own: colours, sharpness, noise and compression."""
    strength = rng.lognormal((0.05, 0.1), (0.2, 0.3))
    return Scanner(
        haematoxylin=_coloured(rng, HAEMATOXYLIN, 0.07) * 1.15 * strength[0],
        eosin=_coloured(rng, (0.1, 0.95, rng.uniform(EOSIN[2], SALMON)), 0.07) * 0.62 * strength[1],
        background=np.clip(rng.normal(0.945, 0.02) + rng.normal(0, 0.012, 3), 0.86, 1.0),
        gamma=rng.uniform(0.9, 1.25),
        blur_px=rng.uniform(0.4, 1.2),
        sharpen=rng.choice([0.0, 0.4, 0.9]),
        noise=rng.uniform(0.6, 3.0),
        jpeg=int(rng.integers(72, 95)),
    )


def of_case(rng: np.random.Generator, domain: Scanner) -> Scanner:
    """The same scanner with one slide's stain."""
    strength = rng.lognormal(0, (0.12, 0.2))
    return replace(
        domain,
        haematoxylin=_jittered(rng, domain.haematoxylin, 0.03) * strength[0],
        eosin=_jittered(rng, domain.eosin, 0.03) * strength[1],
        background=np.clip(domain.background + rng.normal(0, 0.006), 0.84, 1.0),
    )


def photographed(rng: np.random.Generator, made: Scanner, haem: np.ndarray, eosin: np.ndarray) -> np.ndarray:
    """`image_HW3` uint8 of the two maps: Beer-Lambert, then focus, sharpening, noise and JPEG."""
    from PIL import Image

    # σ of the maps: light is blurred, but blurring the optical density is near enough and two channels are cheaper
    focus = np.hypot(made.blur_px, abs(rng.normal(0, 0.45)))
    both = [smoothed(field, focus) for field in (haem, eosin)]
    density = both[0][..., None] * made.haematoxylin + both[1][..., None] * made.eosin
    light = made.background * np.exp(-density)
    light = light ** np.float32(made.gamma)
    if made.sharpen:
        light += made.sharpen * (light - np.stack([smoothed(light[..., c], 1.4) for c in range(3)], 2))
    value = 255 * light + made.noise * rng.standard_normal((PX, PX, 3), dtype=np.float32)
    image = np.clip(value + 0.5, 0, 255).astype(np.uint8)
    packed = BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=made.jpeg)
    with Image.open(packed) as decoded:
        return np.asarray(decoded)


def _coloured(rng: np.random.Generator, vector: tuple[float, float, float], sd: float) -> np.ndarray:
    return _jittered(rng, np.array(vector, np.float32), sd)


def _jittered(rng: np.random.Generator, vector: np.ndarray, sd: float) -> np.ndarray:
    """Another colour of the same strength."""
    moved = np.clip(vector + rng.normal(0, sd, 3) * np.linalg.norm(vector), 0.02, None)
    return (moved * np.linalg.norm(vector) / np.linalg.norm(moved)).astype(np.float32)
