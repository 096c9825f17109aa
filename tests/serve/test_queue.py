"""The queue: batches across requests, 429 where too many wait, 408 for a body that does not arrive, errors that pass."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from mitotype.deploy import classify
from mitotype.deploy.classify import CHUNK
from mitotype.serve.batching import Batcher
from mitotype.serve.limits import Limits
from tests.serve.conftest import NAMES, StartService, post, wait_until


class Gate:
    """Holds every batch until it is opened, and has the sizes of all batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.sizes: list[int] = []
        predict = classify.predict_pages

        def gated(predictor: Any, pages: Sequence[Any], explain: bool) -> Iterator[Any]:
            self.sizes.append(len(pages))
            assert self.open.wait(60)
            return predict(predictor, pages, explain)

        monkeypatch.setattr(classify, "predict_pages", gated)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def metric(url: str, name: str) -> float:
    lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def test_figures_gather_while_a_batch_runs() -> None:
    opened, sizes = threading.Event(), []

    def pages(*names: str) -> list[Any]:
        return list(names)

    def predict(batch: Sequence[Any]) -> list[Any]:
        sizes.append(len(batch))
        assert opened.wait(60)
        return list(batch)

    async def submit() -> list[Any]:
        batcher = Batcher(predict)
        async with batcher.running():
            tasks = [asyncio.create_task(batcher.predict(pages("a", "b")))]
            while not sizes:
                await asyncio.sleep(0.01)
            tasks += [asyncio.create_task(batcher.predict(pages(str(i)) * CHUNK)) for i in range(2)]
            tasks += [asyncio.create_task(batcher.predict(pages(str(i)))) for i in range(2, 5)]
            await asyncio.sleep(0.01)
            tasks[-1].cancel()
            opened.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    *results, cancelled = asyncio.run(submit())
    assert sizes == [2, CHUNK, CHUNK, 3]
    assert results == [["a", "b"], ["0"] * CHUNK, ["1"] * CHUNK, ["2"], ["3"]]
    assert isinstance(cancelled, asyncio.CancelledError)


def test_requests_that_wait_are_counted_and_further_ones_are_refused(start_service: StartService, gate: Gate) -> None:
    url = start_service(Limits(max_waiting=5))
    with ThreadPoolExecutor(5) as pool:
        responses = [pool.submit(post, url, *NAMES[:2])]
        wait_until(lambda: len(gate.sizes) == 1)
        responses += [pool.submit(post, url, *NAMES[:2]) for _ in range(4)]
        wait_until(lambda: metric(url, "mitotype_waiting_requests") == 5)
        refused = post(url, NAMES[0])
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert requests.get(f"{url}/ready", timeout=60).status_code == 503
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
        gate.open.set()
        assert {response.result().status_code for response in responses} == {200}
    assert sum(gate.sizes) == 10
    assert requests.get(f"{url}/ready", timeout=60).status_code == 200
    assert metric(url, 'mitotype_requests_total{status="429"}') == 1
    assert metric(url, "mitotype_batch_figures_sum") == 10
    assert metric(url, 'mitotype_predictions_total{decision="normal"}') == 5


def test_an_error_of_a_batch_is_reported_and_the_next_one_is_classified(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = start_service()
    with monkeypatch.context() as patched:
        patched.setattr(classify, "predict_pages", lambda *args: 1 / 0)
        response = post(url, NAMES[0])
    assert response.status_code == 500
    assert "ZeroDivisionError" not in response.text
    wait_until(lambda: "ZeroDivisionError" in caplog.text)
    assert post(url, NAMES[0]).status_code == 200
    assert metric(url, 'mitotype_requests_total{status="500"}') == 1
    assert requests.get(f"{url}/ready", timeout=60).status_code == 200


def test_a_body_that_does_not_arrive_gives_its_place_to_others(start_service: StartService) -> None:
    url = start_service(Limits(max_waiting=1, upload_s=0.5))
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=60) as slow:
        slow.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
        )
        wait_until(lambda: metric(url, "mitotype_waiting_requests") == 1)
        assert post(url, NAMES[0]).status_code == 429
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
    assert post(url, NAMES[0]).status_code == 200


def test_a_client_that_leaves_is_forgotten(start_service: StartService) -> None:
    url = start_service(Limits(max_waiting=1))
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=60) as leaving:
        leaving.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
        )
        wait_until(lambda: metric(url, "mitotype_waiting_requests") == 1)
    wait_until(lambda: metric(url, "mitotype_waiting_requests") == 0)
    assert post(url, NAMES[0]).status_code == 200
