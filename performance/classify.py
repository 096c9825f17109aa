"""Classification, patches per second: `classify` against reading the images and the bare nets' forward pass, in sequence.

    python performance/classify.py [BUNDLE] [FOLDER OF IMAGES] [--json FILE]

`classify` also frames, combines, calibrates, decides and flags; it reads the next images while the last are scored.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from machine import machine
from mitotype.core import images, records
from mitotype.deploy import classify
from mitotype.deploy.predictor import Predictor, open_predictor
from mitotype.deploy.sources import list_images

N_IMAGES = 1024
BATCH = 64


def generated(folder: Path) -> list[Path]:
    """PNG files of 128 px that compress about as tissue does."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(N_IMAGES):
        coarse = Image.fromarray(rng.integers(90, 256, (24, 24, 3), dtype=np.uint8)).resize(
            (128, 128), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-6, 7, (128, 128, 3))
        paths.append(folder / f"{number}.png")
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def bare_seconds(predictor: Predictor, paths: list[Path]) -> float:
    """Read every image, then run every net on batches of the right size and nothing else."""
    start = time.perf_counter()
    for path in paths:
        images.read(path)
    px = predictor.needs_px
    with torch.inference_mode():
        for ensemble in predictor.ensembles:
            image = torch.rand(BATCH, 3, px, px).contiguous(memory_format=torch.channels_last)
            for _ in range(len(paths) // BATCH):
                ensemble.classifier(image)
    return time.perf_counter() - start


def classify_seconds(predictor: Predictor, paths: list[Path]) -> float:
    start = time.perf_counter()
    predictions = classify.classify(predictor, [classify.Source(path, 0.25) for path in paths])
    assert len(predictions) == len(paths)
    return time.perf_counter() - start


def measure(predictor: Predictor, paths: list[Path], rounds: int) -> dict[str, Any]:
    paths = paths[: len(paths) // BATCH * BATCH]
    classify_seconds(predictor, paths[:BATCH])
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(classify_seconds(predictor, paths))
        bare.append(bare_seconds(predictor, paths))
    ours_s, bare_s = statistics.median(ours), statistics.median(bare)
    return {
        "images": len(paths), "members": len(predictor.members), "net": predictor.ensembles[0].classifier.architecture.backbone,
        "views": predictor.record.tta, "classify_patches_per_s": len(paths) / ours_s, "bare_patches_per_s": len(paths) / bare_s,
        "ratio": bare_s / ours_s,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="default")
    parser.add_argument("folder", nargs="?", type=Path, help="images; generated ones without it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    predictor = open_predictor(args.bundle)
    with tempfile.TemporaryDirectory() as folder:
        paths = (
            [source.path for source in list_images([str(args.folder)])][:N_IMAGES]
            if args.folder
            else generated(Path(folder))
        )
        row = measure(predictor, paths, args.rounds)
    environment = machine()
    print(
        f"{row['members']} × {row['net']}, {row['images']} images, {environment['cpu']}, {environment['threads']} threads, float32\n"
    )
    print(f"{'classify':>18}{'read, then nets':>18}{'ratio':>9}")
    print(
        f"{row['classify_patches_per_s']:>10.0f} patch/s{row['bare_patches_per_s']:>10.0f} patch/s{row['ratio']:>9.2f}"
    )
    if args.json:
        records.write(args.json, {"benchmark": "classify", "machine": environment, "rows": [row]})


if __name__ == "__main__":
    main()
