"""A service on the loopback: the shipped bundle behind a real server in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests

from mitotype.api.deployment import open_bundle
from mitotype.api.examples import example_images
from mitotype.deploy.predictor import Predictor
from mitotype.serve import server
from mitotype.serve.access import Access
from mitotype.serve.application import create_app
from mitotype.serve.limits import LIMITS, Limits

ACCESS = Access(frozenset(server.LOCAL_NAMES))
NAMES = [path.name for path in example_images()]
RAW = {path.name: path.read_bytes() for path in example_images()}
StartService = Callable[..., str]


def upload(*named: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the files of a form for requests.post."""
    return [("images", item) for item in named]


def post(url: str, *names: str, **options: Any) -> requests.Response:
    """Send examples as a form."""
    return requests.post(f"{url}/classify", files=upload(*((name, RAW[name]) for name in names)), timeout=60, **options)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def served(predictor: Predictor, access: Access = ACCESS, limits: Limits = LIMITS, **options: bool) -> Iterator[str]:
    listener = server.listen(server.Address(port=0))
    instance = server.new_server(create_app(predictor, access, limits, **options))
    thread = threading.Thread(target=instance.run, kwargs={"sockets": [listener]})
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.start()
    try:
        wait_until(lambda: instance.started)
        yield url
    finally:
        instance.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return open_bundle()


@pytest.fixture
def start_service(predictor: Predictor) -> Iterator[StartService]:
    """Return a function that starts a service and returns its address; each is stopped after the test."""
    with ExitStack() as stack:
        yield lambda limits=LIMITS, access=ACCESS: stack.enter_context(served(predictor, access, limits))


@pytest.fixture(scope="module")
def service(predictor: Predictor) -> Iterator[str]:
    """Return the address of a service with the limits by default."""
    with served(predictor) as url:
        yield url
