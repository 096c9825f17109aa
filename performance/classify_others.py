"""`classify` beside that of version 0.1.0 and beside the EfficientNetV2-M of the challenge's organisers, patches per second.

    git worktree add /tmp/mitotype-0.1.0 9fe9dd2
    python performance/classify_others.py /tmp/mitotype-0.1.0 [--folder FOLDER OF IMAGES] [--json FILE]

The three take turns in each round: both versions read files, score, calibrate and decide; the organisers' net, with random weights,
at 224 px and on ONNX Runtime as well, is given images that are in memory already, so that its rate flatters it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch

from classify import classify_seconds, image_paths
from machine import machine
from mitotype.core import records
from mitotype.deploy.predictor import open_predictor
from turns import in_turns

ORGANISERS_NET, ORGANISERS_PX, ORGANISERS_IMAGES = "tf_efficientnetv2_m", 224, 32
OLD_VERSION = """
import sys, time
from pathlib import Path
from mitotype.deploy import classify
from mitotype.deploy.scorer import open_scorer
scorer = open_scorer("default")
for line in sys.stdin:
    paths = [Path(path) for path in line.rstrip().split("\\t")]
    start = time.perf_counter()
    answers = classify.classify(scorer, [(path, 0.25) for path in paths])
    assert len(answers) == len(paths)
    print(time.perf_counter() - start, flush=True)
"""


class OldVersion:
    """The `classify` of a checkout of 0.1.0, in a process of its own."""

    def __init__(self, checkout: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
        command = [sys.executable, "-c", OLD_VERSION]
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def seconds(self, paths: list[Path]) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\t".join(map(str, paths)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def organisers_session(folder: Path) -> onnxruntime.InferenceSession:
    """The net as an ONNX graph for batches of any size, with as many threads as torch has."""
    net = timm.create_model(ORGANISERS_NET, num_classes=1).eval()
    example_B3HW = torch.zeros(2, 3, ORGANISERS_PX, ORGANISERS_PX)
    torch.onnx.export(
        net, (example_B3HW,), folder / "net.onnx", dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(folder / "net.onnx", options, providers=["CPUExecutionProvider"])


def organisers_seconds(session: onnxruntime.InferenceSession) -> float:
    image_B3HW = np.random.default_rng(0).random((ORGANISERS_IMAGES, 3, ORGANISERS_PX, ORGANISERS_PX), np.float32)
    start = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: image_B3HW})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="of version 0.1.0")
    parser.add_argument("--folder", type=Path, help="images; generated ones without it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    predictor = open_predictor("default", runtime="onnx")
    old = OldVersion(args.checkout)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = organisers_session(folder)
        paths = image_paths(args.folder, folder)
        timed: dict[str, tuple[int, Callable[[], float]]] = {
            "classify": (len(paths), lambda: classify_seconds(predictor, paths)),
            "classify of 0.1.0": (len(paths), lambda: old.seconds(paths)),
            f"{ORGANISERS_NET}, {ORGANISERS_PX} px": (ORGANISERS_IMAGES, lambda: organisers_seconds(session)),
        }
        median_s = in_turns({name: run for name, (_, run) in timed.items()}, args.rounds)
    old.close()
    environment = machine()
    print(f"{len(paths)} images, {environment['cpu']}, {environment['threads']} threads, float32\n")
    per_second = {name: count / median_s[name] for name, (count, _) in timed.items()}
    rows = [
        {"what": what, "patches_per_s": rate, "ratio": per_second["classify"] / rate}
        for what, rate in per_second.items()
    ]
    for row in rows:
        print(f"{row['what']:30}{row['patches_per_s']:>8.0f} patch/s{row['ratio']:>8.2f} x")
    if args.json:
        records.write(args.json, {"benchmark": "classify_others", "machine": environment, "rows": rows})


if __name__ == "__main__":
    main()
