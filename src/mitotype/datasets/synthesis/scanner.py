"""Stain and scanner of a domain: haematoxylin and eosin maps → RGB with blur, sharpening, noise and compression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image

from mitotype.datasets.synthesis.fields import PX, blur

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], np.float32)  # Ruifrok and Johnston (2001), unit vector of optical density
EOSIN_BLUE = (0.11, 0.45)  # range of eosin's optical density in blue: pink to salmon


@dataclass(frozen=True)
class Scanner:
    """Stain of a laboratory and optics of its scanner."""

    haematoxylin: np.ndarray  # optical density per concentration, red green blue
    eosin: np.ndarray
    background: np.ndarray  # of empty glass, 0–1
    gamma: float
    blur_px: float
    sharpen: float
    noise: float  # of 255 grey levels
    jpeg: int


def sample_scanner(rng: np.random.Generator) -> Scanner:
    """Return the scanner of a domain: random stain, sharpness, noise and compression."""
    strength = rng.lognormal((0.05, 0.1), (0.2, 0.3))
    return Scanner(
        haematoxylin=_jitter(rng, HAEMATOXYLIN, 0.07) * 1.15 * strength[0],
        eosin=_jitter(rng, np.array([0.1, 0.95, rng.uniform(*EOSIN_BLUE)], np.float32), 0.07) * 0.62 * strength[1],
        background=np.clip(rng.normal(0.945, 0.02) + rng.normal(0, 0.012, 3), 0.86, 1.0),
        gamma=rng.uniform(0.9, 1.25),
        blur_px=rng.uniform(0.4, 1.2),
        sharpen=rng.choice([0.0, 0.4, 0.9]),
        noise=rng.uniform(0.6, 3.0),
        jpeg=int(rng.integers(72, 95)),
    )


def vary_stain(rng: np.random.Generator, scanner: Scanner) -> Scanner:
    """Return the same scanner with the stain of one slide, which differs a little from the domain's."""
    strength = rng.lognormal(0, (0.12, 0.2))
    return replace(
        scanner,
        haematoxylin=_jitter(rng, scanner.haematoxylin, 0.03) * strength[0],
        eosin=_jitter(rng, scanner.eosin, 0.03) * strength[1],
        background=np.clip(scanner.background + rng.normal(0, 0.006), 0.84, 1.0),
    )


def scan(rng: np.random.Generator, scanner: Scanner, haem: np.ndarray, eosin: np.ndarray) -> np.ndarray:
    """Return `image_HW3` uint8 of the two maps: blur, Beer-Lambert, sharpening, noise and JPEG."""
    # a lens blurs light; blurring the optical density is close enough, and two channels are cheaper than three
    focus = np.hypot(scanner.blur_px, abs(rng.normal(0, 0.45)))
    haem, eosin = blur(haem, focus), blur(eosin, focus)
    density = haem[..., None] * scanner.haematoxylin + eosin[..., None] * scanner.eosin
    light = scanner.background * np.exp(-density)
    light = light ** np.float32(scanner.gamma)
    if scanner.sharpen:
        light += scanner.sharpen * (light - np.stack([blur(light[..., c], 1.4) for c in range(3)], 2))
    value = 255 * light + scanner.noise * rng.standard_normal((PX, PX, 3), dtype=np.float32)
    image = np.clip(value + 0.5, 0, 255).astype(np.uint8)
    encoded = BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=scanner.jpeg)
    with Image.open(encoded) as decoded:
        return np.asarray(decoded)


def _jitter(rng: np.random.Generator, vector: np.ndarray, sd: float) -> np.ndarray:
    """Return a randomly changed vector of the same length."""
    moved = np.clip(vector + rng.normal(0, sd, 3) * np.linalg.norm(vector), 0.02, None)
    return (moved * np.linalg.norm(vector) / np.linalg.norm(moved)).astype(np.float32)
