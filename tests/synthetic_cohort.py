"""A small cohort of synthetic images and a tiny recipe, for runs that take seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mitotype.core.schema import COHORT_COLUMNS, Cohort
from mitotype.fit.recipe import Recipe


def synthetic_image(label: int, rng: np.random.Generator) -> np.ndarray:
    """Return pink noise with one dark bar (normal) or three dark dots (atypical) in the middle."""
    image = rng.normal((225, 180, 215), 12, (128, 128, 3))
    yy, xx = np.mgrid[:128, :128] - 64.0
    angle = rng.uniform(0, np.pi)
    u, v = xx * np.cos(angle) + yy * np.sin(angle), -xx * np.sin(angle) + yy * np.cos(angle)
    if label:
        dark = np.min([(u - 12 * np.cos(t)) ** 2 + (v - 12 * np.sin(t)) ** 2 for t in (0, 2.1, 4.2)], axis=0) < 30
    else:
        dark = (np.abs(u) < 14) & (np.abs(v) < 4)
    image[dark] = rng.normal((80, 50, 120), 8, (int(dark.sum()), 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def cohort(folder: Path) -> Cohort:
    """Return 48 images of 12 cases in two domains, a third of them atypical, each with three votes."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(48):
        label = int(number % 3 == 0)
        path = folder / f"{number}.png"
        Image.fromarray(synthetic_image(label, rng)).save(path)
        votes_for = 3 * label if number % 4 else 1 + label
        lines.append({
            "patch_id": f"drawn/{number}", "path": str(path), "label": float(label), "votes_for": float(votes_for), "votes": 3.0,
            "case_id": f"case{number // 4}", "domain": f"domain{number // 24}", "mpp_um": 0.25, "dataset": "drawn",
            "expert_votes": "A" * votes_for + "N" * (3 - votes_for), "sub_label_1": "AMF multipolar" if label else "NMF metaphase",
        })  # fmt: skip
    rows = pd.DataFrame(lines).reindex(columns=[*COHORT_COLUMNS, "dataset", "expert_votes", "sub_label_1"])
    return Cohort("drawn", rows.assign(scanner="", tumour="", species=""))


def tiny() -> Recipe:
    return Recipe(
        name="tiny",
        backbone="d4resnet-tiny",
        size_px=64,
        augment="affine(degrees=180, scale=0.1, shift=2) | stain(0.05) | crop(64)",
        tta="identity",
        objective="soft_bce + 0.2 * sub_label + 0.2 * expert",
        mixup=0.3,
        epochs=3,
        batch=8,
        warmup_epochs=1.0,
        ema_decay=0.9,
        folds="2",
        head_dropout=0.1,
        precision="fp32",
    )
