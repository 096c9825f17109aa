"""The OpenAPI document: the messages as components, the body of a request in both forms, the statuses of each route."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from mitotype import __version__
from mitotype.core.schema import NOTICE_LONG
from mitotype.serve.limits import Limits
from mitotype.serve.messages import ClassifyRequest, ClassifyResponse, ErrorResponse, Status
from mitotype.serve.uploads import JSON, MULTIPART

REFERENCE = "#/components/schemas/{name}"
NUMBERS_OR_NULL = ("probability", "spread")  # nan is null in JSON
MESSAGES = (ClassifyRequest, ClassifyResponse, ErrorResponse, Status)


def _response(description: str, message: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(name=message.__name__)}
    return {"description": description, "content": {JSON: {"schema": schema}}}


REFUSED: dict[int | str, dict[str, Any]] = {
    401: _response("The token is missing or wrong.", ErrorResponse),
    403: _response("The request comes from a page of another site.", ErrorResponse),
    421: _response("The service is not reached by this host name.", ErrorResponse),
}
STATUS: dict[int | str, dict[str, Any]] = {200: _response("The service runs.", Status)}
READY: dict[int | str, dict[str, Any]] = {
    200: _response("The service takes requests.", Status),
    503: _response("As many requests wait as may.", Status),
}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_FORM = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
        "mpp_um": {"$ref": REFERENCE.format(name="ClassifyRequest") + "/properties/mpp_um"},
    },
    "additionalProperties": False,
}
CLASSIFY: dict[str, Any] = {
    "responses": {
        200: _response("The predictions.", ClassifyResponse),
        400: _response("The form is damaged.", ErrorResponse),
        408: _response("The body did not arrive in time.", ErrorResponse),
        413: _response("The request is above a limit.", ErrorResponse),
        415: _response("The content type is another one.", ErrorResponse),
        422: _response("The request is not as documented, or no image could be classified.", ErrorResponse),
        429: {
            **_response("As many requests wait as may; repeat it after the seconds in Retry-After.", ErrorResponse),
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
        500: _response("An error of the service.", ErrorResponse),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                MULTIPART: {"schema": _FORM},
                JSON: {"schema": {"$ref": REFERENCE.format(name="ClassifyRequest")}},
            },
        }
    },
}


class _Documented(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            document = super().openapi()
            _, components = msgspec.json.schema_components(MESSAGES, ref_template=REFERENCE)
            for key in NUMBERS_OR_NULL:
                components["Prediction"]["properties"][key]["type"] = ["number", "null"]
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return super().openapi()


def documented(lifespan: Any, limits: Limits) -> FastAPI:
    """Return an application without routes that has its document at /openapi.json."""
    return _Documented(
        title="mitotype",
        version=__version__,
        summary="Classifies mitotic figures in H&E pathology as atypical or normal.",
        description=f"{NOTICE_LONG}\n\nA request has at most {limits.max_bytes} bytes and {limits.max_images} images, each page "
        f"of a TIFF counted, of at most {limits.max_pixels} pixels.",
        docs_url=None,  # its page loads scripts from another site
        redoc_url=None,
        responses=REFUSED,
        lifespan=lifespan,
    )
