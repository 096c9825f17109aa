"""Five members on one trunk, against one member and against five nets of their own: patches per second at inference.

    python performance/shared_base.py [--blocks 24] [--last 4] [--json FILE]

The members are a vision transformer of `blocks` blocks whose last `last` blocks each of them trained. Repeats are interleaved and
the median of each is taken.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from machine import machine
from mitotype.backbones import member_files, shared_base, weights
from mitotype.backbones.classifier import Architecture, build
from mitotype.backbones.predict import InferenceConfig, predict, predict_ensemble
from mitotype.core import records
from mitotype.transforms import Frame, tta_views
from turns import in_turns

MEMBERS, PATCHES, BACKBONE = 5, 256, "vit-mini8"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def write_members(folder: Path, blocks: int, last: int) -> list[Path]:
    """Five members on one base, written to disk."""
    options = {"depth": blocks}
    net = build(Architecture(BACKBONE, 64, "mean", model_kwargs=options), seed=0)
    save_file({k: v.contiguous() for k, v in net.trunk.state_dict().items()}, folder / "base.safetensors")
    base = weights.find(BACKBONE, str(folder / "base.safetensors"))
    architecture = Architecture(
        BACKBONE, 64, "mean", model_kwargs=options, adaptation=f"full(last={last})", base=base.digest
    )
    for number in range(MEMBERS):
        member_files.write_member(
            folder / str(number),
            str(number),
            "crop(64)",
            build(architecture, seed=number, base_state=weights.read_state_dict(base)),
        )
    return [folder / str(number) for number in range(MEMBERS)]


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(blocks: int, last: int, rounds: int) -> dict[str, Any]:
    image_N3HW = np.random.default_rng(0).integers(0, 256, (PATCHES, 3, 64, 64), dtype=np.uint8)
    frame, views, config = Frame("crop(64)"), tta_views("identity"), InferenceConfig(device=DEVICE)
    with tempfile.TemporaryDirectory() as folder:
        member_dirs = write_members(Path(folder), blocks, last)
        alone = [member_files.read_member(member_dir, device=DEVICE).classifier for member_dir in member_dirs]
        [together] = shared_base.read_ensembles(member_dirs, device=DEVICE)
        functions: dict[str, Callable[[], object]] = {
            "one member": lambda: predict(alone[0], image_N3HW, frame, views, config),
            "five on one trunk": lambda: predict_ensemble(together, image_N3HW, frame, views, config),
            "five nets": lambda: [predict(classifier, image_N3HW, frame, views, config) for classifier in alone],
        }
        median = in_turns({name: partial(seconds, function) for name, function in functions.items()}, rounds)
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
    args = parser.parse_args()
    row = measure(args.blocks, args.last, args.rounds)
    cpu = machine()
    print(
        f"{args.blocks} blocks, the last {args.last} of each member's own, {cpu['cpu']}, {cpu['threads']} threads, {DEVICE}\n"
    )
    for name, elapsed in row["seconds"].items():
        print(
            f"{name:20}{PATCHES / elapsed:>10.0f} patch/s{elapsed / row['seconds']['one member']:>8.2f} × one member's cost"
        )
    if args.json:
        records.write(args.json, {"benchmark": "one trunk", "machine": cpu, "rows": [row]})


if __name__ == "__main__":
    main()
