"""From the start of the process to the answer: seconds to classify one image, against importing the two libraries below it.

    python performance/start.py [PYTHON] [--json FILE]

PYTHON is that of an environment with mitotype, by default the one that runs this file. The commands take turns; medians of ten.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from machine import machine
from mitotype.api.examples import example_images
from mitotype.core import records
from turns import in_turns

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
    median_s = in_turns({name: partial(seconds, command) for name, command in commands.items()}, ROUNDS)
    rows = [{"command": name, "seconds": s, "ratio": s / median_s[FLOOR]} for name, s in median_s.items()]
    for row in rows:
        print(f"{row['command']:40}{row['seconds']:>8.3f} s{row['ratio']:>8.2f} x")
    if args.json:
        records.write(args.json, {"benchmark": "start", "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
