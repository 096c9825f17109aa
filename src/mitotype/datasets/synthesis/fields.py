"""Smooth random fields and soft shapes on the 128-px frame."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

PX = 128
ROW, COLUMN = np.mgrid[:PX, :PX].astype(np.float32)


@cache
def _spline(knots: int) -> np.ndarray:
    """Return `(PX, knots)` Gaussian weights that interpolate values at equally spaced knots with unit variance."""
    position = np.linspace(-1, knots, PX)[:, None]
    weight = np.exp(-0.5 * ((position - np.arange(knots)) / 0.6) ** 2)
    return (weight / np.sqrt((weight**2).sum(1, keepdims=True))).astype(np.float32)


def noise(rng: np.random.Generator, bumps: int) -> np.ndarray:
    """Return a smooth field of mean 0 and variance 1 with about `bumps` × `bumps` bumps."""
    value = rng.standard_normal((bumps, bumps), dtype=np.float32)
    return _spline(bumps) @ value @ _spline(bumps).T


def soft_step(distance_px: np.ndarray, edge_px: float = 1.0) -> np.ndarray:
    """Return 1 inside (distance below 0) and 0 outside, with a transition of about `edge_px` on either side."""
    return 0.5 - 0.5 * np.tanh(distance_px / edge_px)


def blur(field: np.ndarray, sigma_px: float) -> np.ndarray:
    return gaussian_filter(field, sigma_px, truncate=3.0)
