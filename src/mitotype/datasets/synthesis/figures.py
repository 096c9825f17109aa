"""Mitotic figures as points on chromosome arms: a form is a normal phase at severity 0 and atypical at severity 1.

Coordinates are px (0.25 µm) from the figure's centre, `(N, 2)` as (along the spindle, across it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.datasets.synthesis.fields import blur

ARM_POINTS = 5


@dataclass(frozen=True)
class Figure:
    """Points of chromatin with weights, and the half-axes of the cell around them."""

    point_N2: np.ndarray
    weight_N: np.ndarray
    cell_px: tuple[float, float]


def tripolar(rng: np.random.Generator, severity: float) -> Figure:
    """Return a metaphase plate whose halves fold and which gets a third (rarely a fourth) arm with the severity."""
    length = rng.uniform(24, 34)
    width = rng.uniform(5, 8)
    fold = severity * np.radians(rng.uniform(35, 70))
    third = severity * rng.uniform(0.6, 1.0)
    angles = [np.pi / 2 - fold, -np.pi / 2 + fold, np.pi + rng.normal(0, 0.15)]
    reaches = [length / 2 * rng.uniform(0.9, 1.1), length / 2 * rng.uniform(0.9, 1.1), length / 2 * third]
    if severity > 0.7 and rng.random() < 0.4:
        angles.append(rng.normal(0, 0.3))
        reaches.append(length / 2 * rng.uniform(0.5, 0.9))
    total = sum(reaches)
    parts = []
    for angle, reach in zip(angles, reaches, strict=True):
        count = round(40 * reach / total)
        along = rng.uniform(0, reach, count)
        parts.append(_rotate(np.stack([along, rng.normal(0, width * 0.28, count)], 1), angle))
    return _figure(rng, np.concatenate(parts), across=rng.uniform(3, 6))


def asymmetric(rng: np.random.Generator, severity: float) -> Figure:
    """Return two daughter plates, one of which has less chromatin and is tilted with the severity."""
    share = 0.5 - 0.38 * severity
    tilt = severity * rng.uniform(-0.9, 0.9)
    apart, length = rng.uniform(15, 34), rng.uniform(19, 28)
    small = round(44 * share)
    low = _plate(rng, small, length * (0.45 + 1.1 * share), bow=-0.12, width=rng.uniform(3.5, 5))
    high = _plate(rng, 44 - small, length, bow=0.12, width=rng.uniform(3.5, 5))
    both = np.concatenate([_shift(_rotate(low, tilt), -apart / 2), _shift(high, apart / 2)])
    return _figure(rng, both, across=rng.uniform(2.5, 5), long=apart / 2)


def lagging(rng: np.random.Generator, severity: float) -> Figure:
    """Return one or two plates with chromosomes off them, more and further with the severity."""
    strays = rng.poisson(5 * severity)
    if rng.random() < 0.6:
        plate = _plate(rng, 42 - strays, rng.uniform(24, 34), bow=rng.normal(0, 0.05), width=rng.uniform(4.5, 7))
        side = rng.choice([-1, 1], strays)
        away = side * (5 + rng.gamma(3, 1.2 + 2 * severity, strays))
        stray = np.stack([away, rng.uniform(-14, 14, strays)], 1)
        apart = 0.0
    else:
        apart = rng.uniform(18, 32)
        half, length = (44 - strays) // 2, rng.uniform(19, 27)
        halves = {side: _plate(rng, half, length, bow=side * 0.12, width=4.5) for side in (-1, 1)}
        plate = np.concatenate([_shift(point, side * apart / 2) for side, point in halves.items()])
        stray = np.stack([rng.uniform(-0.3, 0.3, strays) * apart, rng.uniform(-12, 12, strays)], 1)
    heavy = np.repeat(stray, 2, axis=0) + rng.normal(0, 1.2, (2 * strays, 2))
    return _figure(rng, np.concatenate([plate, heavy]), across=rng.uniform(3, 5), long=apart / 2)


def bridge(rng: np.random.Generator, severity: float) -> Figure:
    """Return an anaphase or telophase with strands between the plates, denser with the severity."""
    apart, length = rng.uniform(16, 32), rng.uniform(19, 28)
    halves = {side: _plate(rng, 21, length, bow=side * 0.14, width=4.2) for side in (-1, 1)}
    plates = [_shift(point, side * apart / 2) for side, point in halves.items()]
    strands = []
    for _ in range(1 + rng.poisson(1.2)):
        start, end = rng.uniform(-length / 2.5, length / 2.5, 2)
        step = np.linspace(0, 1, 25)
        bend = rng.normal(0, 3) * np.sin(np.pi * step)
        strands.append(np.stack([(step - 0.5) * apart, start + (end - start) * step + bend], 1))
    figure = _figure(rng, np.concatenate(plates), across=rng.uniform(3, 5), long=apart / 2)
    strand = np.concatenate(strands)
    weight = np.full(len(strand), 1.8 * severity)
    return Figure(np.concatenate([figure.point_N2, strand]), np.concatenate([figure.weight_N, weight]), figure.cell_px)


def scattered(rng: np.random.Generator, severity: float) -> Figure:
    """Return a prometaphase clump, or the ring of a plate seen end-on, which breaks into uneven clumps with the severity."""
    count = 44
    angle = rng.uniform(0, 2 * np.pi, count)
    if rng.random() < 0.4:
        radius = rng.uniform(8, 11) + rng.normal(0, 2, count)
    else:
        radius = rng.uniform(9, 12.5) * np.sqrt(rng.uniform(0, 1, count))
    point = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    clumps = rng.integers(3, 7)
    clump = rng.integers(0, clumps, count)
    offset = rng.normal(0, 1, (clumps, 2)) * rng.uniform(7, 11)
    point = point * (1 - 0.55 * severity) + severity * (offset[clump] - offset.mean(0)) * 0.9
    point *= 1 + severity * rng.uniform(0, 0.35)
    return _figure(rng, point, across=None)


FORMS = {"tripolar": tripolar, "asymmetric": asymmetric, "lagging": lagging, "bridge": bridge, "scattered": scattered}
FORM_SHARE = (0.3, 0.13, 0.22, 0.1, 0.25)


def density(
    figure: Figure, *, turn: float, scale: float, centre: tuple[float, float], side: int, fine_px: float
) -> np.ndarray:
    """Return chromatin from 0 (none) to 1 (opaque) on a `side` × `side` grid from the points, rotated and scaled.

    It is 1 - exp(-2.6 f), with f the points blurred by `fine_px`: solid where arms overlap, ragged at the border.
    """
    point = _rotate(figure.point_N2 * scale, turn) + centre
    point = np.clip(point, 0, side - 1.001)
    low = point.astype(int)
    part = point - low
    field = np.zeros(side * side)
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1]) * figure.weight_N
            field += np.bincount((low[:, 0] + row) * side + low[:, 1] + column, weight, side * side)
    return 1 - np.exp(-2.6 * blur(field.reshape(side, side), fine_px))


def _plate(rng: np.random.Generator, count: int, length: float, *, bow: float, width: float) -> np.ndarray:
    """Return chromosomes of one plate across the spindle; `bow` bends its ends back, as a share of its length."""
    across = rng.uniform(-length / 2, length / 2, count)
    along = rng.normal(0, width * 0.3, count) - 4 * bow * across**2 / length
    return np.stack([along, across], 1)


def _figure(rng: np.random.Generator, at_N2: np.ndarray, *, across: float | None, long: float = 0.0) -> Figure:
    """Return a figure with an arm of five points per chromosome, along the spindle (`across` px long) or in any direction (None)."""
    count = len(at_N2)
    direction = rng.uniform(0, np.pi, count) if across is None else rng.normal(0, 0.5, count)
    reach = (rng.uniform(3, 6, count) if across is None else rng.uniform(0.6, 1.4, count) * across)[:, None]
    step = np.linspace(-0.5, 0.5, ARM_POINTS)
    bend = rng.normal(0, 1, count)[:, None] * (step**2 - 0.1) * 2
    along = step * reach
    x = along * np.cos(direction)[:, None] - bend * np.sin(direction)[:, None]
    y = along * np.sin(direction)[:, None] + bend * np.cos(direction)[:, None]
    point = (at_N2[:, None] + np.stack([x, y], 2)).reshape(-1, 2)
    point -= point.mean(0)
    weight = np.repeat(rng.gamma(6, 1 / 6, count), ARM_POINTS)
    size = rng.uniform(21, 31)
    return Figure(point, weight, (size + 0.6 * long, size))


def _shift(point_N2: np.ndarray, along_px: float) -> np.ndarray:
    return point_N2 + np.array([along_px, 0.0])


def _rotate(point_N2: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return point_N2 @ np.array([[cosine, sine], [-sine, cosine]])
