"""Tissue around a figure: cells, their nuclei, stroma, gaps, as haematoxylin and eosin maps of 128 px."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitotype.datasets.synthesis.fields import COLUMN, PX, ROW, noise, soft_step


@dataclass(frozen=True)
class TissueStyle:
    """Appearance of the tissue of one case."""

    cell_px: float  # distance between cells
    nucleus_px: float  # radius
    nucleus_dark: float  # haematoxylin of a resting nucleus; the figure's is about 2
    vesicular: float  # 0 evenly dark nuclei to 1 clear ones with a membrane
    stroma: float  # share of patches with fibres
    gaps: float  # tendency of the tissue to tear
    grain: float  # of the cytoplasm
    basophil: float  # haematoxylin of the cytoplasm
    lymphocytes: float  # expected number per patch


def sample_style(rng: np.random.Generator) -> TissueStyle:
    return TissueStyle(
        cell_px=rng.uniform(32, 54),
        nucleus_px=rng.uniform(11, 17),
        nucleus_dark=rng.uniform(0.5, 1.25),
        vesicular=rng.uniform(0, 1),
        stroma=rng.uniform(0.1, 0.7),
        gaps=rng.uniform(0, 1),
        grain=rng.uniform(0.5, 1.5),
        basophil=rng.uniform(0.06, 0.34),
        lymphocytes=rng.uniform(0, 0.9),
    )


def tissue(
    rng: np.random.Generator, style: TissueStyle, centre: tuple[float, float], cell_px: tuple[float, float], turn: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return haematoxylin and eosin (concentrations, about 0 to 1) around a cell without a nucleus at `centre` with half-axes `cell_px`."""
    sway_row, sway_column = 3 * noise(rng, 7), 3 * noise(rng, 7)
    row, column = ROW + sway_row, COLUMN + sway_column
    mottle, fine = noise(rng, 26), noise(rng, 60)
    eosin = 0.5 + 0.09 * noise(rng, 5) + 0.1 * mottle + style.grain * 0.1 * fine
    haem = style.basophil * (1 + 0.25 * noise(rng, 6) + 0.25 * mottle) + style.grain * 0.04 * fine
    cell = _ellipse(row, column, centre, cell_px, turn)
    seeds = _cells(rng, style, centre, cell_px)
    apart, which = _territories(row, column, seeds)
    wall = soft_step(apart - rng.uniform(0.5, 2.5), 1.5)
    eosin += wall * rng.uniform(-0.25, 0.2)
    eosin += (rng.normal(0, 0.06, len(seeds) + 1).astype(np.float32))[which]
    stain = _Stain(rng, style, haem, eosin)
    if rng.random() < style.stroma:
        stain.add_fibres()
    stain.add_gaps(wall, cell)
    lump = noise(rng, 24) + 0.7 * noise(rng, 44)
    for seed in seeds:
        stain.add_nucleus(seed, lump)
    for _ in range(rng.poisson(style.lymphocytes)):
        stain.add_lymphocyte(centre, cell_px, lump)
    stain.add_dividing_cell(cell, mottle, fine)
    return np.clip(stain.haem, 0, None), np.clip(stain.eosin, 0, None)


@dataclass
class _Stain:
    """The maps of haematoxylin and eosin; every method draws one structure into them."""

    rng: np.random.Generator
    style: TissueStyle
    haem: np.ndarray
    eosin: np.ndarray

    def add_nucleus(self, position: np.ndarray, lump: np.ndarray) -> None:
        """Add a resting nucleus: a lobed ellipse with membrane, chromatin texture and nucleoli."""
        rng, style = self.rng, self.style
        radius = style.nucleus_px * rng.lognormal(0, 0.14)
        window = _window(position, radius * 1.8)
        if window is None:
            return
        row, column = ROW[window], COLUMN[window]
        y, x = row - position[0], column - position[1]
        angle = np.arctan2(y, x)
        stretch = rng.uniform(1, 1.5)
        half_px = (radius * stretch**0.5, radius / stretch**0.5)
        distance = _ellipse(row, column, (position[0], position[1]), half_px, rng.uniform(0, np.pi))
        for lobe in (2, 3, 4, 5):
            distance += radius * rng.normal(0, 0.12 / lobe) * np.cos(lobe * angle + rng.uniform(0, 2 * np.pi))
        inside = soft_step(distance, rng.uniform(0.8, 1.6))
        clear = np.clip(style.vesicular + rng.normal(0, 0.25), 0, 1)
        dark = style.nucleus_dark * rng.lognormal(0, 0.22)
        chromatin = dark * (1 - 0.5 * clear + (0.18 + 0.2 * clear) * lump[window])
        membrane = np.exp(-0.5 * ((distance + 1.2) / 1.1) ** 2) * dark * (0.25 + 0.55 * clear)
        value = chromatin + membrane
        for _ in range(rng.poisson(1.1 * clear + 0.2)):
            spot = rng.uniform(-0.5, 0.5, 2) * radius
            depth = dark * rng.uniform(0.5, 1.1)
            value += depth * soft_step(np.hypot(y - spot[0], x - spot[1]) - rng.uniform(1.4, 2.8), 0.9)
        self.haem[window] += inside * (np.clip(value, 0.05, 1.6) - self.haem[window])
        self.eosin[window] -= inside * (0.3 * self.eosin[window] * (0.3 + clear))

    def add_lymphocyte(self, centre: tuple[float, float], cell_px: tuple[float, float], lump: np.ndarray) -> None:
        """Add a small dark round nucleus outside the figure's cell."""
        position = self.rng.uniform(0, PX, 2)
        if np.hypot(*(position - centre)) < max(cell_px) + 4:
            return
        radius = self.rng.uniform(6, 9)
        window = _window(position, radius + 5)
        if window is None:
            return
        distance = np.hypot(ROW[window] - position[0], COLUMN[window] - position[1]) - radius + 0.5 * lump[window]
        inside = soft_step(distance, 1.0)
        self.haem[window] += inside * (self.rng.uniform(0.9, 1.7) + 0.1 * lump[window] - self.haem[window])
        self.eosin[window] *= 1 - 0.5 * soft_step(np.abs(distance - 1.5) - 1, 1.0)

    def add_fibres(self) -> None:
        """Add stroma on one side of a line: wavy fibres along one direction with a few spindle nuclei."""
        rng = self.rng
        turn = rng.uniform(0, np.pi)
        cosine, sine = np.cos(turn), np.sin(turn)
        begins = rng.uniform(5, 55)
        u = (ROW - PX / 2) * cosine + (COLUMN - PX / 2) * sine + 5 * noise(rng, 4)
        v = (COLUMN - PX / 2) * cosine - (ROW - PX / 2) * sine
        band = soft_step(begins - u, 3.0)
        wave = np.sin(u * rng.uniform(0.5, 1.1) + 1.5 * noise(rng, 6))
        wave += 0.7 * np.sin(u * rng.uniform(1.2, 2.0) + 2 * noise(rng, 5))
        self.eosin += band * (rng.uniform(0.1, 0.35) + 0.12 * wave)
        self.haem *= 1 - 0.4 * band
        for _ in range(rng.poisson(1.5)):
            deep, across = begins + rng.uniform(6, 30), rng.uniform(-60, 60)
            spindle = np.hypot((u - deep) / 3.2, (v - across) / rng.uniform(10, 15))
            self.haem += soft_step((spindle - 1) * 3.2, 0.9) * band * (rng.uniform(0.6, 1.2) + 0.15 * noise(rng, 30))

    def add_gaps(self, wall: np.ndarray, cell: np.ndarray) -> None:
        """Add clear slits between cells, tears, and round vacuoles."""
        rng, gaps = self.rng, self.style.gaps
        gap = np.zeros_like(self.eosin)
        if rng.random() < 0.05 + 0.35 * gaps:
            gap = np.maximum(gap, wall * soft_step(0.9 - noise(rng, 5), 0.4))
        if rng.random() < 0.1 + 0.3 * gaps:
            gap = np.maximum(gap, soft_step((1.15 - noise(rng, 4)) * 8, 1.2))
        for _ in range(rng.poisson(0.4 * gaps)):
            position, radius = rng.uniform(0, PX, 2), rng.uniform(4, 15)
            gap = np.maximum(gap, soft_step(np.hypot(ROW - position[0], COLUMN - position[1]) - radius, 1.2))
        if rng.random() < 0.12:  # a cell that has shrunk from its neighbours
            shrunk = soft_step(np.abs(cell - 4) - rng.uniform(1.5, 4), 1.0)
            gap = np.maximum(gap, shrunk * soft_step(-0.5 - noise(rng, 4), 0.8))
        gap *= soft_step(-cell, 2.0)
        self.eosin *= 1 - 0.93 * gap
        self.haem *= 1 - 0.93 * gap

    def add_dividing_cell(self, cell: np.ndarray, mottle: np.ndarray, fine: np.ndarray) -> None:
        """Add the dividing cell: no nucleus, cytoplasm paler or denser than the rest and often grainy."""
        rng, style = self.rng, self.style
        inside = soft_step(cell, 1.5)
        grain = style.grain * rng.uniform(0.5, 1.3)
        cytoplasm = np.clip(rng.normal(0.34, 0.13), 0.08, 0.75) + grain * 0.1 * fine + 0.05 * mottle
        haem_level = style.basophil * rng.uniform(0.3, 1.2) + grain * (0.04 * fine + 0.05 * noise(rng, 50))
        self.eosin += inside * (cytoplasm - self.eosin)
        self.haem += inside * (np.clip(haem_level, 0, None) - self.haem)
        self.eosin += np.exp(-0.5 * (cell / 1.3) ** 2) * rng.uniform(-0.15, 0.25)


def _ellipse(
    row: np.ndarray, column: np.ndarray, centre: tuple[float, float], half_px: tuple[float, float], turn: float
) -> np.ndarray:
    """Return about the signed distance (px, negative inside) to an ellipse whose first half-axis is at `turn` from the rows."""
    cosine, sine = np.cos(turn), np.sin(turn)
    y, x = row - centre[0], column - centre[1]
    u, v = y * cosine + x * sine, x * cosine - y * sine
    return (np.hypot(u / half_px[0], v / half_px[1]) - 1) * min(half_px)


def _cells(
    rng: np.random.Generator, style: TissueStyle, centre: tuple[float, float], cell_px: tuple[float, float]
) -> np.ndarray:
    """Return random centres (row, column) of the other cells, with a minimal distance, also outside the frame."""
    centres: list[np.ndarray] = []
    free = max(cell_px) * 0.75 + style.nucleus_px
    for spot in rng.uniform(-20, PX + 20, (60, 2)):
        far = np.hypot(*(spot - centre)) > free + rng.uniform(0, 6)
        nearest = np.hypot(*(spot - np.reshape(centres, (-1, 2))).T).min(initial=np.inf)
        if far and (not centres or nearest > style.cell_px * rng.uniform(0.62, 0.95)):
            centres.append(spot)
    return np.reshape(centres, (-1, 2))


def _territories(row: np.ndarray, column: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much further (px) the second nearest cell centre is than the nearest, and the index of the nearest."""
    nearest, second = np.full(row.shape, 1e6, np.float32), np.full(row.shape, 2e6, np.float32)
    which = np.zeros(row.shape, np.int16)
    for index, (y, x) in enumerate(seeds.astype(np.float32)):
        away = np.square(row - y) + np.square(column - x)
        which[away < nearest] = index
        second = np.minimum(second, np.maximum(nearest, away))
        nearest = np.minimum(nearest, away)
    return np.sqrt(second) - np.sqrt(nearest), which


def _window(position: np.ndarray, reach: float) -> tuple[slice, slice] | None:
    top, left = (max(0, int(value - reach)) for value in position)
    bottom, right = (min(PX, int(value + reach) + 2) for value in position)
    return (slice(top, bottom), slice(left, right)) if bottom - top > 1 and right - left > 1 else None
