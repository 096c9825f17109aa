"""Five members on one trunk, against one member and against five nets of their own: patches per second at inference.

    python benchmarks/one_trunk.py [--blocks 24] [--last 4] [--json FILE]

The members are a vision transformer of `blocks` blocks whose last `last` blocks each of them trained. Repeats are interleaved and
the median of each is taken.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from machine import machine
from mitotype.backbones import members, team, weights
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.predict import Way, predict, predict_team
from mitotype.core import files
from mitotype.views import Frame, views_at_test

MEMBERS, PATCHES, BACKBONE = 5, 256, "vit-mini8"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def made(folder: Path, blocks: int, last: int) -> list[Path]:
    """Five members on one base, written to disk."""
    options = (("depth", blocks),)
    net = build(Architecture(BACKBONE, 64, "mean", options=options), seed=0)
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, folder / "base.safetensors")
    base = weights.find(BACKBONE, str(folder / "base.safetensors"))
    told = Architecture(BACKBONE, 64, "mean", options=options, adaptation=f"full(last={last})", base=base.digest)
    for number in range(MEMBERS):
        members.write(
            folder / str(number), str(number), "crop(64)", build(told, seed=number, base_state=weights.state(base))
        )
    return [folder / str(number) for number in range(MEMBERS)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(blocks: int, last: int, rounds: int) -> dict[str, Any]:
    image_N3HW = np.random.default_rng(0).integers(0, 256, (PATCHES, 3, 64, 64), dtype=np.uint8)
    frame, views, way = Frame("crop(64)"), views_at_test("identity"), Way(device=DEVICE)
    with tempfile.TemporaryDirectory() as folder:
        places = made(Path(folder), blocks, last)
        alone = [members.read(place, device=DEVICE).classifier for place in places]
        [together] = team.read(places, device=DEVICE)
        works: dict[str, Callable[[], object]] = {
            "one member": lambda: predict(alone[0], image_N3HW, frame, views, way),
            "five on one trunk": lambda: predict_team(together, image_N3HW, frame, views, way),
            "five nets": lambda: [predict(one, image_N3HW, frame, views, way) for one in alone],
        }
        times: dict[str, list[float]] = {name: [] for name in works}
        for number in range(rounds + 1):
            for name, work in works.items():
                taken = seconds(work)
                if number:
                    times[name].append(taken)
    median = {name: statistics.median(found) for name, found in times.items()}
    return {
        "blocks": blocks, "last": last, "members": MEMBERS, "device": DEVICE, "seconds": median,
        "ratio": median["five on one trunk"] / median["one member"], "five_nets_ratio": median["five nets"] / median["one member"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--last", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    asked = parser.parse_args()
    row = measure(asked.blocks, asked.last, asked.rounds)
    told = machine()
    print(
        f"{asked.blocks} blocks, the last {asked.last} of each member's own, {told['cpu']}, {told['threads']} threads, {DEVICE}\n"
    )
    for name, taken in row["seconds"].items():
        print(
            f"{name:20}{PATCHES / taken:>10.0f} patch/s{taken / row['seconds']['one member']:>8.2f} × one member's cost"
        )
    if asked.json:
        files.write_json(asked.json, {"benchmark": "one trunk", "machine": told, "rows": [row]})


if __name__ == "__main__":
    main()
