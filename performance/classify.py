"""Classification, patches per second, on ONNX Runtime and on torch: `classify`, and the nets alone.

    python performance/classify.py [BUNDLE] [FOLDER OF IMAGES] [--json FILE]

`classify` also frames, combines, calibrates, decides and flags; it reads the next images while the last are scored. The ratio is
its rate to that of reading the images and running the nets in sequence.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from machine import machine
from mitotype.core import images, records
from mitotype.deploy import classify
from mitotype.deploy.predictor import Predictor, open_predictor
from mitotype.deploy.sources import list_images

N_IMAGES = 1024
BATCH = 64
MULTIPLY_ADDS = 83.4e6  # of a net of the bundle `default`, per patch
SIDE = 2048  # of the matrices


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


def image_paths(given: Path | None, folder: Path) -> list[Path]:
    """The first images of the folder that is given, or else generated ones in `folder`."""
    return [Path(s.path) for s in list_images([str(given)])][:N_IMAGES] if given else generated(folder)


def read_seconds(paths: list[Path]) -> float:
    start = time.perf_counter()
    for path in paths:
        images.read(path)
    return time.perf_counter() - start


def net_seconds(predictor: Predictor, count: int) -> float:
    """Run the nets on images of the right size and nothing else."""
    image_N3HW = np.random.default_rng(0).integers(0, 256, (count, 3, predictor.needs_px, predictor.needs_px), np.uint8)
    start = time.perf_counter()
    predictor.predict(image_N3HW)
    return time.perf_counter() - start


def classify_seconds(predictor: Predictor, paths: list[Path]) -> float:
    start = time.perf_counter()
    predictions = classify.classify(predictor, [classify.Source(path, 0.25) for path in paths])
    assert len(predictions) == len(paths)
    return time.perf_counter() - start


def matrix_rate() -> float:
    """The machine's multiply-adds per second in float32, the best of five products of square matrices."""
    square = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - start)
    return SIDE**3 / min(seconds)


def measure(predictors: dict[str, Predictor], paths: list[Path], rounds: int) -> list[dict[str, Any]]:
    """One row per runtime; the runtimes take turns in each round."""
    times: dict[str, dict[str, list[float]]] = {name: {"classify": [], "read": [], "nets": []} for name in predictors}
    for predictor in predictors.values():
        classify_seconds(predictor, paths[:BATCH])
    for _ in range(rounds):
        for name, predictor in predictors.items():
            times[name]["classify"].append(classify_seconds(predictor, paths))
            times[name]["read"].append(read_seconds(paths))
            times[name]["nets"].append(net_seconds(predictor, len(paths)))
    rows = []
    rate = matrix_rate()
    for name, by_part in times.items():
        classify_s, read_s, nets_s = (statistics.median(values) for values in by_part.values())
        n, members = len(paths), len(predictors[name].members)
        rows.append({
            "runtime": name, "images": n, "members": members, "classify_patches_per_s": n / classify_s,
            "nets_patches_per_s": n / nets_s, "ratio": (read_s + nets_s) / classify_s,
            "share_of_matrix_rate": n * members * MULTIPLY_ADDS / nets_s / rate,
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="default")
    parser.add_argument("folder", nargs="?", type=Path, help="images; generated ones without it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    predictors = {
        "onnx": open_predictor(args.bundle, runtime="onnx"),
        "torch": open_predictor(args.bundle, runtime="torch"),
    }
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(predictors, image_paths(args.folder, Path(folder)), args.rounds)
    environment = machine()
    print(
        f"{rows[0]['members']} nets, {rows[0]['images']} images, {environment['cpu']}, {environment['threads']} threads, float32\n"
    )
    print(f"{'runtime':8}{'classify':>16}{'ratio':>8}{'nets alone':>16}{'of matrix rate':>16}")
    for row in rows:
        print(
            f"{row['runtime']:8}{row['classify_patches_per_s']:>8.0f} patch/s{row['ratio']:>8.2f}"
            f"{row['nets_patches_per_s']:>8.0f} patch/s{row['share_of_matrix_rate']:>16.2f}"
        )
    if args.json:
        records.write(args.json, {"benchmark": "classify", "machine": environment, "rows": rows})


if __name__ == "__main__":
    main()
