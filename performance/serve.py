"""The service against `classify` in this process, patches per second on one core.

    python performance/serve.py [BUNDLE] [FOLDER OF IMAGES] [--json FILE]

The service has one core, the clients have another one; they send forms of 16 images over a few connections. `classify` reads the
same files on the core of the service, which then waits. Both take turns; the ratio is that of the medians. The ratio of the CPU
time per patch is that of a machine on which nothing else runs. Linux only.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from classify import classify_seconds, generated
from machine import machine
from mitotype.core import records
from mitotype.deploy.predictor import open_predictor
from mitotype.deploy.sources import list_images

PER_REQUEST = 16
CONNECTIONS = 4
BOUNDARY = "boundary-of-the-benchmark"


@contextmanager
def service(bundle: str, core: int) -> Iterator[tuple[int, psutil.Process]]:
    """Start the service on a core; return its port and its process."""
    command = ["taskset", "--cpu-list", str(core), sys.executable, "-m", "mitotype", "serve", bundle, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        match = next(match for line in process.stderr if (match := re.search(r"served at http://[^:]+:(\d+)", line)))
        try:
            yield int(match[1]), psutil.Process(process.pid)
        finally:
            process.terminate()


def form(paths: list[Path]) -> bytes:
    """Return the body of a request."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{path.name}"\r\n\r\n'.encode()
        + path.read_bytes()
        for path in paths
    ]
    return b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def send(port: int, bodies: list[bytes]) -> int:
    """Send requests over one connection; return the number of predictions."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    n_predictions = 0
    for body in bodies:
        connection.request("POST", "/classify", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        response = connection.getresponse()
        text = response.read()
        assert response.status == 200, text
        n_predictions += len(msgspec.json.decode(text)["predictions"])
    return n_predictions


def served_seconds(port: int, bodies: list[bytes], n_images: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [bodies[first::CONNECTIONS] for first in range(CONNECTIONS)]
        n_predictions = sum(pool.map(send, [port] * CONNECTIONS, shares))
    seconds = time.perf_counter() - start
    assert n_predictions == n_images
    return seconds


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="default")
    parser.add_argument("folder", nargs="?", type=Path, help="images; generated ones without it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args()
    core, other = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, {core})
    predictor = open_predictor(args.bundle)
    times: dict[str, list[tuple[float, float]]] = {"in process": [], "served": []}  # seconds, CPU seconds
    with tempfile.TemporaryDirectory() as folder, service(args.bundle, core) as (port, process):
        paths = [source.path for source in list_images([str(args.folder)])] if args.folder else generated(Path(folder))
        paths = [Path(str(path)) for path in paths][: len(paths) // PER_REQUEST * PER_REQUEST]
        bodies = [form(paths[first : first + PER_REQUEST]) for first in range(0, len(paths), PER_REQUEST)]
        for _ in range(args.rounds + 1):
            os.sched_setaffinity(0, {core})
            cpu = time.process_time()
            times["in process"].append((classify_seconds(predictor, paths), time.process_time() - cpu))
            os.sched_setaffinity(0, {other})
            cpu = cpu_seconds(process)
            times["served"].append((served_seconds(port, bodies, len(paths)), cpu_seconds(process) - cpu))
    rows = []
    for name, values in times.items():
        seconds, cpu = (
            statistics.median(column) for column in zip(*values[1:], strict=True)
        )  # the first round warms up
        rows.append({"name": name, "patches_per_s": len(paths) / seconds, "patches_per_cpu_s": len(paths) / cpu})
    ratio, cpu_ratio = (rows[1][key] / rows[0][key] for key in ("patches_per_s", "patches_per_cpu_s"))
    load = os.getloadavg()[0]
    environment = machine()
    print(
        f"{len(paths)} images, {PER_REQUEST} per request, one core of {environment['cpu']}, load average {load:.1f}\n"
    )
    print(f"{'':12}{'patch/s':>10}{'patch/CPU s':>14}")
    for row in rows:
        print(f"{row['name']:12}{row['patches_per_s']:>10.0f}{row['patches_per_cpu_s']:>14.0f}")
    print(f"{'ratio':12}{ratio:>10.2f}{cpu_ratio:>14.2f}")
    if args.json:
        about = {"images": len(paths), "per_request": PER_REQUEST, "connections": CONNECTIONS, "load_average": load}
        document = {"benchmark": "serve", "machine": environment, **about, "ratio": ratio, "cpu_ratio": cpu_ratio}
        records.write(args.json, {**document, "rows": rows})


if __name__ == "__main__":
    main()
