"""From the start of the process to the answer: seconds to classify one image, against importing the two libraries below it.

    python performance/start.py [PYTHON] [--json FILE]

PYTHON is that of an environment with mitotype, by default the one that runs this file. The commands take turns; medians of ten.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import machine
from mitotype.api.examples import example_images
from mitotype.core import records

ROUNDS = 10
FLOOR = "import numpy, onnxruntime"


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("python", nargs="?", type=Path, default=Path(sys.executable))
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    image = str(example_images()[0])
    mitotype = [str(args.python), "-m", "mitotype"]
    commands = {
        "python -c pass": [str(args.python), "-c", "pass"],
        FLOOR: [str(args.python), "-c", FLOOR],
        "mitotype --help": [*mitotype, "--help"],
        "mitotype classify": [*mitotype, "classify", image],
        "mitotype classify --bundle morphology": [*mitotype, "classify", image, "--bundle", "morphology"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            took_s = seconds(command)
            if number:  # the first reads the files into memory
                times[name].append(took_s)
    floor_s = statistics.median(times[FLOOR])
    rows = [
        {"command": name, "seconds": statistics.median(t), "ratio": statistics.median(t) / floor_s}
        for name, t in times.items()
    ]
    for row in rows:
        print(f"{row['command']:40}{row['seconds']:>8.3f} s{row['ratio']:>8.2f} x")
    if args.json:
        records.write(args.json, {"benchmark": "start", "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
