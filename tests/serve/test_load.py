"""256 clients for a minute: every request has its own answer or 429, and the memory of the service does not grow."""

from __future__ import annotations

import http.client
import random
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil
import pytest

from mitotype.api.deployment import classify
from mitotype.api.examples import example_images
from mitotype.deploy.predictor import Predictor
from tests.serve.conftest import NAMES, RAW
from tests.serve.test_processes import encode_form, started

CLIENTS = 256


class Client:
    """Sends requests over one connection until `end`; counts the statuses and compares every answer."""

    def __init__(self, number: int, port: int, decisions: dict[str, str], end: float) -> None:
        self.number, self.port, self.decisions, self.end = number, port, decisions, end
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        rng = random.Random(self.number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while time.monotonic() < self.end:
            examples = rng.choices(NAMES, k=rng.randint(1, 16))
            named = [(f"{self.number}-{rng.random()}-{i}", RAW[name]) for i, name in enumerate(examples)]
            body, content_type = encode_form(*named)
            connection.request("POST", "/classify", body, {"Content-Type": content_type})
            response = connection.getresponse()
            text = response.read()
            self.statuses[response.status] += 1
            if response.status == 429:
                time.sleep(int(response.headers["Retry-After"]))
                continue
            rows = msgspec.json.decode(text)["predictions"]
            assert [row["path"] for row in rows] == [name for name, _ in named]
            assert [row["decision"] for row in rows] == [self.decisions[name] for name in examples]


@pytest.mark.long
@pytest.mark.parametrize("seconds", [60])
def test_a_minute_of_many_clients(predictor: Predictor, tmp_path: Path, seconds: int) -> None:
    decisions = dict(zip(NAMES, (p.decision for p in classify(example_images(), predictor)), strict=True))
    rss_mib: list[float] = []
    with started(tmp_path) as (process, port):
        service = psutil.Process(process.pid)
        end = time.monotonic() + seconds
        clients = [Client(number, port, decisions, end) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(client.run) for client in clients]
            while time.monotonic() < end:
                rss_mib.append(service.memory_info().rss / 2**20)
                time.sleep(0.5)
            for future in running:
                future.result()
        assert process.poll() is None
        assert service.num_threads() < 50
    statuses = sum((client.statuses for client in clients), Counter())
    quarter = len(rss_mib) // 4
    early, late = (statistics.median(part) for part in (rss_mib[quarter : 2 * quarter], rss_mib[-quarter:]))
    print(
        f"{dict(statuses)}, {early:.0f} MiB after a quarter, {late:.0f} MiB at the end, at most {max(rss_mib):.0f} MiB"
    )
    assert set(statuses) <= {200, 429}
    assert statuses[200]
    assert late < 1.05 * early + 5
