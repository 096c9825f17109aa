"""Uploads: the body of a request, within the limits, as image files in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import HTTPException, Request
from fastapi.datastructures import FormData
from python_multipart.exceptions import FormParserError
from starlette.types import Message

from mitotype.core import images
from mitotype.core.encoded_image import EncodedImage
from mitotype.core.records import INVALID
from mitotype.deploy.sources import Source
from mitotype.serve.limits import Limits
from mitotype.serve.messages import ClassifyRequest

JSON, MULTIPART = "application/json", "multipart/form-data"


async def read_sources(request: Request, limits: Limits) -> list[Source]:
    """Return the images of a request.

    Raises an HTTPException: 408 for a body that does not arrive in time, 413 for one above the limits, 415 for another
    content type, 400 and 422 for what is not as documented. A UserError for an implausible µm/px.
    """
    body = _bounded(request, limits.max_bytes)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(limits.upload_s):
            if content_type == JSON:
                classify_request = _decode(await body.body())
            elif content_type == MULTIPART:
                async with body.form() as form:
                    classify_request = await _from_form(form)
            else:
                raise HTTPException(415, f"The content type is not {MULTIPART} or {JSON}.")
    except TimeoutError:
        what = f"The body did not arrive within {limits.upload_s:g} seconds."
        raise HTTPException(408, what, {"Connection": "close"}) from None
    except FormParserError as error:
        raise HTTPException(400, f"The form is damaged: {error}.") from None
    if len(classify_request.images) > limits.max_images:
        raise too_many(limits)
    mpp_um = classify_request.mpp_um
    if mpp_um is not None:
        images.check_mpp(mpp_um, "mpp_um")
    return [
        Source(EncodedImage(upload.name or f"image {number}", upload.data), mpp_um)
        for number, upload in enumerate(classify_request.images)
    ]


def too_many(limits: Limits) -> HTTPException:
    """Return the error for a request with too many figures."""
    return HTTPException(413, f"The request has more than {limits.max_images} images.")


def _bounded(request: Request, max_bytes: int) -> Request:
    """Return a request whose body raises 413 above `max_bytes`, at once if its header states more."""
    error = HTTPException(413, f"The body has more than {max_bytes} bytes.")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > max_bytes:
        raise error
    n_bytes = 0

    async def receive() -> Message:
        nonlocal n_bytes
        message = await request.receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > max_bytes:
            raise error
        return message

    return Request(request.scope, receive)


def _decode(raw: bytes) -> ClassifyRequest:
    try:
        return msgspec.json.decode(raw, type=ClassifyRequest)
    except INVALID as error:
        raise HTTPException(422, f"The body is not valid: {error}.") from None


async def _from_form(form: FormData) -> ClassifyRequest:
    """Return the fields of a form as the request that JSON would state."""
    uploads: list[dict[str, Any]] = []
    others: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name != "images":
            others[name] = value
        elif isinstance(value, str):
            raise HTTPException(422, "A field 'images' has no file name; send each image as a file.")
        else:
            uploads.append({"data": await value.read(), "name": value.filename or ""})
    try:
        return msgspec.convert({"images": uploads, **others}, ClassifyRequest, strict=False, builtin_types=(bytes,))
    except INVALID as error:
        raise HTTPException(422, f"The form is not valid: {error}.") from None
