"""The OpenAPI document: requests that schemathesis generates from it get the responses that it documents."""

from __future__ import annotations

import base64
from collections import Counter

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mitotype.core.schema import NOTICE
from tests.serve.conftest import RAW

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
IMAGES = st.sampled_from(list(RAW.values()))
OFFSETS = st.integers(0, 4000)
CUT = st.builds(lambda raw, n: raw[:n], IMAGES, OFFSETS)
CHANGED = st.builds(
    lambda raw, n, byte: raw[:n] + byte + raw[n + 1 :], IMAGES, OFFSETS, st.binary(min_size=1, max_size=1)
)
FILES = IMAGES | CUT | CHANGED | st.binary(max_size=200)
schemathesis.openapi.format("binary", FILES)
schemathesis.openapi.format("base64-image", FILES.map(lambda raw: base64.b64encode(raw).decode()))


def answers(url: str, path: str, method: str, mode: GenerationMode, count: int) -> Counter[tuple[str | None, int]]:
    """Send generated requests and check the responses; return how often each content type got each status."""
    document = requests.get(f"{url}/openapi.json", timeout=60).json()
    document["components"]["schemas"]["Upload"]["properties"]["data"]["format"] = "base64-image"
    operation = schemathesis.openapi.from_dict(document)[path][method]
    counts: Counter[tuple[str | None, int]] = Counter()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    def send(case: schemathesis.Case) -> None:
        response = case.call_and_validate(base_url=url, checks=CHECKS, timeout=300)
        counts[case.media_type, response.status_code] += 1

    send()
    return counts


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_states_and_metrics_are_as_documented(service: str, path: str) -> None:
    assert answers(service, path, "GET", GenerationMode.POSITIVE, 1) == {(None, 200): 1}


@pytest.mark.parametrize(
    "count", [20, pytest.param(2000, marks=[pytest.mark.long, pytest.mark.timeout(7200)])], ids=["short", "long"]
)
def test_generated_requests_get_documented_responses(service: str, count: int) -> None:
    valid = answers(service, "/classify", "POST", GenerationMode.POSITIVE, count)
    assert valid["multipart/form-data", 200]
    assert valid["application/json", 200]
    invalid = answers(service, "/classify", "POST", GenerationMode.NEGATIVE, count)
    assert {status for _, status in valid | invalid} <= {200, 400, 413, 415, 422}


def test_the_description_has_the_notice(service: str) -> None:
    assert NOTICE in requests.get(f"{service}/openapi.json", timeout=60).json()["info"]["description"]
