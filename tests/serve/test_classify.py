"""Requests and answers: the predictions are those of `classify`, whatever else is in the request or in the queue."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from mitotype.api.deployment import classify, open_bundle
from mitotype.api.examples import example_images
from mitotype.core.records import encode
from mitotype.core.schema import NOTICE
from mitotype.deploy.predictor import Predictor
from mitotype.serve.limits import Limits
from tests.serve.conftest import NAMES, RAW, StartService, post, served, upload


def encoded(side_px: int = 128, mode: str = "RGB", kind: str = "PNG", pages: int = 1) -> bytes:
    """Return an image file."""
    rng = np.random.default_rng(side_px)
    image = Image.fromarray(rng.integers(0, 256, (side_px, side_px, 3), np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **({"save_all": True, "append_images": [image] * (pages - 1)} if pages > 1 else {}))
    return file.getvalue()


def as_json(*names: str, **fields: Any) -> dict[str, Any]:
    return {"images": [{"name": name, "data": base64.b64encode(RAW[name]).decode()} for name in names], **fields}


def expected(predictor: Predictor, **options: Any) -> list[dict[str, Any]]:
    """Return what `classify --json` prints for the examples, with their names as paths."""
    rows: list[dict[str, Any]] = json.loads(encode(list(classify(example_images(), predictor, **options))))
    return [row | {"path": name} for row, name in zip(rows, NAMES, strict=True)]


def assert_same(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Compare rows; the numbers of a batch of another size differ in the last digits."""
    numbers = ("probability", "spread")
    for row, other in zip(rows, others, strict=True):
        assert {key: row[key] for key in row if key not in numbers} == {
            key: other[key] for key in other if key not in numbers
        }
        assert [row[key] for key in numbers] == pytest.approx([other[key] for key in numbers], abs=1e-5)


@pytest.mark.parametrize("mpp_um", [None, 0.23])
def test_a_form_and_json_are_answered_like_classify(service: str, predictor: Predictor, mpp_um: float | None) -> None:
    fields = {} if mpp_um is None else {"mpp_um": mpp_um}
    rows = expected(predictor, mpp_um=mpp_um)
    for response in (
        post(service, *NAMES, data=fields),
        requests.post(f"{service}/classify", json=as_json(*NAMES, **fields), timeout=60),
    ):
        assert response.status_code == 200
        answer = response.json()
        assert (answer["notice"], answer["bundle"]) == (NOTICE, "default")
        assert (answer["digest"], answer["threshold"]) == (predictor.record.digest, predictor.decision.threshold.value)
        assert_same(answer["predictions"], rows)


def test_many_requests_at_once_have_their_own_answers(service: str, predictor: Predictor) -> None:
    rows = dict(zip(NAMES, expected(predictor), strict=True))
    requested = [(NAMES * 2)[i % 6 : i % 6 + 1 + i % 3] for i in range(24)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda names: post(service, *names).json(), requested))
    for names, answer in zip(requested, answers, strict=True):
        assert_same(answer["predictions"], [rows[name] for name in names])


def test_an_image_that_cannot_be_read_has_an_error_and_the_others_are_classified(service: str) -> None:
    bad = {
        "grey.png": (encoded(mode="L"), "is greyscale"),
        "empty.png": (b"", "has 0 bytes"),
        "text.png": (b"text", "not an image of a supported format"),
        "gif.png": (encoded(kind="GIF"), "not an image of a supported format"),
        "cut.png": (encoded()[:2000], "damaged"),
        "small.png": (encoded(32), "is 32 × 32 px"),
        "bomb.png": (encoded(1025), "too large for a patch"),
    }
    files = upload((NAMES[0], RAW[NAMES[0]]), *((name, raw) for name, (raw, _) in bad.items()))
    response = requests.post(f"{service}/classify", files=files, timeout=60)
    assert response.status_code == 200
    first, *others = response.json()["predictions"]
    assert first["decision"] and "error" not in first
    for row, (name, (_, error)) in zip(others, bad.items(), strict=True):
        assert name in row["error"] and error in row["error"]
        assert (row["decision"], row["probability"]) == ("", None)
    response = requests.post(f"{service}/classify", files=files[1:], timeout=60)
    assert response.status_code == 422
    assert len(response.json()["predictions"]) == len(bad)


def test_every_page_of_a_tiff_is_a_figure(service: str) -> None:
    files = upload(("stack.tif", encoded(kind="TIFF", pages=3)))
    rows = requests.post(f"{service}/classify", files=files, timeout=60).json()["predictions"]
    assert [(row["path"], row["page"]) for row in rows] == [("stack.tif", page) for page in range(3)]


def test_predictions_are_explained_where_the_bundle_has_shape_descriptors() -> None:
    with served(open_bundle("morphology"), explain=True) as url:
        assert post(url, NAMES[0]).json()["predictions"][0]["explanation"]


def test_requests_above_a_limit_are_refused(start_service: StartService) -> None:
    url = start_service(Limits(max_bytes=100_000, max_images=3)) + "/classify"

    def status(**options: Any) -> tuple[int, str]:
        response = requests.post(url, timeout=60, **options)
        return response.status_code, str(response.json().get("error", ""))

    small = encoded(64)
    assert status(files=upload(*[("a.png", small)] * 3))[0] == 200
    assert status(files=upload(*[("a.png", small)] * 4)) == (413, "The request has more than 3 images.")
    stack = encoded(64, kind="TIFF", pages=2)
    assert status(files=upload(("a.tif", stack), ("b.tif", stack))) == (413, "The request has more than 3 images.")
    assert status(files=upload(("c.tif", encoded(64, kind="TIFF", pages=4))))[0] == 422
    large = b"x" * 100_001
    assert status(data=large) == (413, "The body has more than 100000 bytes.")
    chunked = {"Content-Type": "application/json"}
    assert status(data=iter([large]), headers=chunked) == (413, "The body has more than 100000 bytes.")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": "{}"}, 415),
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 422),
        ({"json": {"images": []}}, 422),
        ({"json": {"images": [{"data": "no Base64!"}]}}, 422),
        ({"json": as_json(NAMES[0], threshold=1)}, 422),
        ({"json": as_json(NAMES[0], mpp_um=25)}, 422),
        ({"data": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"data": b"--y\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
        ({"files": {"images": (None, "text")}}, 422),
        ({"files": {"image": ("a.png", RAW[NAMES[0]])}}, 422),
        ({"files": {"images": ("a.png", RAW[NAMES[0]])}, "data": {"mpp_um": "nan"}}, 422),
        ({"files": {"images": ("a" * 256, RAW[NAMES[0]])}}, 422),
        ({"files": {"images": ("a.png", RAW[NAMES[0]]), "mpp_um": ("b.png", b"0.25")}}, 422),
    ],
)
def test_what_is_not_as_documented_is_refused(service: str, options: dict[str, Any], status: int) -> None:
    response = requests.post(f"{service}/classify", timeout=60, **options)
    assert (response.status_code, set(response.json())) == (status, {"error"})
